import { EnvError } from '../domain/errors.ts'
import type { Git } from './run-git.ts'

/** A commit object as it is stored. Parents are its own, also where a shallow clone ends. */
export type RawCommit = {
  readonly commit: string
  readonly tree: string
  readonly parents: readonly string[]
  readonly committedAt: Date
  readonly message: string
}

/** Reads commits by name in one call. Names that are no commit are left out of the result. */
export async function readCommits(git: Git, names: readonly string[]): Promise<Map<string, RawCommit>> {
  const wanted = names.filter((name) => name !== '' && !/[\n\0]/.test(name))
  const found = new Map<string, RawCommit>()
  if (wanted.length === 0) return found
  const input = wanted.map((name) => `${Buffer.from(name, 'utf8').toString('latin1')}^{commit}\n`).join('')
  const { stdout } = await git.run(['cat-file', '--batch'], { input })
  let offset = 0
  for (const name of wanted) {
    const end = stdout.indexOf(0x0a, offset)
    const header = stdout.toString('latin1', offset, end)
    offset = end + 1
    const match = /^([0-9a-f]{40,64}) commit (\d+)$/.exec(header)
    if (!match) continue
    const size = Number(match[2])
    found.set(name, parseCommit(match[1]!, stdout.subarray(offset, offset + size)))
    offset += size + 1
  }
  return found
}

function parseCommit(commit: string, bytes: Buffer): RawCommit {
  const split = bytes.indexOf('\n\n')
  const header = bytes.toString('utf8', 0, split === -1 ? bytes.length : split)
  const tree = /^tree ([0-9a-f]+)$/m.exec(header)?.[1]
  const seconds = /^committer .*> (\d+) [+-]\d+$/m.exec(header)?.[1]
  if (tree === undefined) throw new EnvError('damaged', `the commit ${commit} has no tree`)
  return {
    commit,
    tree,
    parents: [...header.matchAll(/^parent ([0-9a-f]+)$/gm)].map((match) => match[1]!),
    committedAt: new Date(Number(seconds ?? 0) * 1000),
    message: split === -1 ? '' : decode(bytes.subarray(split + 2), /^encoding (.+)$/m.exec(header)?.[1]),
  }
}

function decode(bytes: Buffer, encoding: string | undefined): string {
  try {
    return new TextDecoder(encoding ?? 'utf-8').decode(bytes)
  } catch {
    return bytes.toString('latin1')
  }
}

/** Object ids by expression (`<commit>^{tree}`) in one call; what does not exist is left out. */
export async function resolveObjects(git: Git, expressions: readonly string[]): Promise<Map<string, string>> {
  const wanted = expressions.filter((expression) => !/[\n\0]/.test(expression))
  const found = new Map<string, string>()
  if (wanted.length === 0) return found
  const output = await git.text(['cat-file', '--batch-check=%(objectname)'], { input: `${wanted.join('\n')}\n` })
  output.split('\n').forEach((line, i) => {
    if (isObjectId(line)) found.set(wanted[i]!, line)
  })
  return found
}

/** Where HEAD stands, and what the expressions name at the same time; what does not exist is left out. `ref` is undefined on a detached HEAD. */
export async function resolveHead(
  git: Git,
  expressions: readonly string[],
): Promise<{ readonly ref: string | undefined; readonly objects: ReadonlyMap<string, string> }> {
  // One process where all is there, as nearly always; else two that can say what is not.
  const words = ['rev-parse', ...expressions, '--symbolic-full-name', 'HEAD']
  const { exitCode, stdout } = await git.run(words, { answers: [128] })
  const lines = exitCode === 0 ? stdout.toString('utf8').replace(/\n$/, '').split('\n') : []
  const ref = lines.pop()
  if (ref !== undefined && lines.length === expressions.length && lines.every((line) => isObjectId(line))) {
    const objects = new Map(expressions.map((expression, i) => [expression, lines[i]!]))
    return { ref: ref === 'HEAD' ? undefined : ref, objects }
  }
  const [symbolic, objects] = await Promise.all([
    git.ask(['symbolic-ref', '-q', 'HEAD']),
    resolveObjects(git, expressions),
  ])
  return { ref: symbolic, objects }
}

function isObjectId(text: string): boolean {
  return /^[0-9a-f]{40,64}$/.test(text)
}
