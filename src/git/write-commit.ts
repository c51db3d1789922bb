import { lstat, mkdir, readdir, readFile, readlink, stat } from 'node:fs/promises'
import path from 'node:path'
import type { CommitObject } from 'isomorphic-git'
import { syncDirectory, writeNewFile } from '../system/durable-file.ts'
import type { Location } from './location.ts'
import type { Git } from './run-git.ts'

export type CommitToWrite = {
  readonly tree: string
  readonly parents: readonly string[]
  /** Canonical text: no CR, no leading blank line, exactly one final newline. */
  readonly message: string
}

/**
 * Writes a commit object and gives its id; nothing refers to it yet. isomorphic-git makes it where it does exactly what Git would,
 * and Git itself everywhere else: see docs/decisions/0001-who-writes-git-objects.md.
 */
export async function writeCommitObject(git: Git, location: Location, environment: Variables, commit: CommitToWrite) {
  const settings = await commitSettings(git)
  if (settings.sign || settings.special || location.objectFormat !== 'sha1' || environment['GIT_OBJECT_DIRECTORY']) {
    return commitTree(git, commit, settings.sign)
  }
  return commitByIsomorphicGit(git, location.commonDirectory, commit)
}

type Variables = Readonly<Record<string, string | undefined>>

/** By the git binary: signs, and knows every form of repository. */
export async function commitTree(git: Git, commit: CommitToWrite, sign: boolean, env: Variables = {}): Promise<string> {
  const parents = commit.parents.flatMap((parent) => ['-p', parent])
  return git.text(
    [
      ...durable,
      '-c',
      'i18n.commitEncoding=UTF-8',
      'commit-tree',
      ...(sign ? ['-S'] : []),
      ...parents,
      '-F',
      '-',
      commit.tree,
    ],
    { input: Buffer.from(commit.message, 'utf8'), env },
  )
}

/** Objects and refs are on the disk before a command that wrote them ends. Git before 2.36 ignores the setting. */
export const durable = ['-c', 'core.fsync=all'] as const

/** Whether commits are to be signed, and whether objects need something that only Git does. */
async function commitSettings(git: Git): Promise<{ readonly sign: boolean; readonly special: boolean }> {
  const keys = '^(commit\\.gpgsign|core\\.sharedrepository|extensions\\.(refstorage|partialclone|relativeworktrees))$'
  const { exitCode, stdout } = await git.run(['config', '-z', '--get-regexp', keys], { answers: [1] })
  if (exitCode === 1) return { sign: false, special: false }
  const values = new Map(
    stdout
      .toString('utf8')
      .split('\0')
      .filter((record) => record !== '')
      .map((record) => [record.split('\n', 1)[0]!, record.slice(record.indexOf('\n') + 1)] as const),
  )
  const sign = values.has('commit.gpgsign') ? await git.ask(['config', '--type=bool', 'commit.gpgsign']) : 'false'
  values.delete('commit.gpgsign')
  const shared = values.get('core.sharedrepository') ?? 'false'
  if (['false', 'umask', '0'].includes(shared)) values.delete('core.sharedrepository')
  return { sign: sign === 'true', special: values.size > 0 }
}

async function commitByIsomorphicGit(git: Git, gitdir: string, commit: CommitToWrite): Promise<string> {
  const [author, committer] = await Promise.all(
    ['GIT_AUTHOR_IDENT', 'GIT_COMMITTER_IDENT'].map(async (name) => parseIdentity(await git.text(['var', name]))),
  )
  const object: CommitObject = {
    message: commit.message,
    tree: commit.tree,
    parent: [...commit.parents],
    author: author!,
    committer: committer!,
  }
  const { writeCommit } = await import('isomorphic-git')
  return writeCommit({ fs: durableFiles, gitdir, commit: object })
}

/** `Name <email> seconds +hhmm` as isomorphic-git wants it: its offset counts minutes to the west. */
function parseIdentity(text: string): CommitObject['author'] {
  const match = /^(.*) <(.*)> (\d+) ([+-])(\d\d)(\d\d)$/.exec(text)
  if (!match) throw new TypeError(`not an identity: ${text}`)
  const minutes = Number(match[5]) * 60 + Number(match[6])
  return {
    name: match[1]!,
    email: match[2]!,
    timestamp: Number(match[3]),
    timezoneOffset: match[4] === '+' ? -minutes : minutes,
  }
}

/**
 * The file system that isomorphic-git writes through. It would write an object in place, unsynced: cut short, a damaged object stands
 * under a valid name. Here objects are written as Git writes them: a temporary file, synced, then given its name, read-only.
 */
const durableFiles = {
  promises: {
    readFile,
    readdir,
    stat,
    lstat,
    readlink,
    mkdir,
    writeFile: writeDurably,
    unlink: unsupported,
    rmdir: unsupported,
    symlink: unsupported,
  },
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  const objects = path.dirname(path.dirname(file))
  await writeNewFile(file, [bytes], { temporaryDirectory: objects, mode: 0o444 })
  await syncDirectory(objects)
}

async function unsupported(): Promise<never> {
  throw new TypeError('only objects are written through isomorphic-git')
}
