import { lstat, readFile } from 'node:fs/promises'
import path from 'node:path'
import { parseEnv } from 'node:util'
import { EnvError, systemCode } from '../domain/errors.ts'
import { bytePath } from '../domain/tree.ts'
import { replaceFile } from '../system/durable-file.ts'
import type { Workspace } from './workspace.ts'

/** Beside the configuration, never in Git: lines `NAME=value`, as in a `.env` file. */
export const localFileName = '.git-env.local'
const ignoreFileName = '.gitignore'

/** What `${NAME}` stands for where the environment does not say. A file that git tracks is refused: its secrets would be everybody's. */
export async function readLocalVariables(
  workspace: Pick<Workspace, 'directory' | 'git'>,
): Promise<ReadonlyMap<string, string>> {
  const text = await readOwn(path.join(workspace.directory, localFileName))
  if (text === undefined) return new Map()
  if (await isTracked(workspace)) {
    throw new EnvError('refused', `${localFileName} is tracked by git, and it holds secrets`, {
      hint: `git rm --cached ${localFileName}, and add it to ${ignoreFileName}`,
    })
  }
  return parse(text)
}

/** The same for what only looks: a file that is refused, or cannot be read, gives nothing. */
export async function knownLocalVariables(
  workspace: Pick<Workspace, 'directory' | 'git'>,
): Promise<ReadonlyMap<string, string>> {
  return readLocalVariables(workspace).catch(() => new Map())
}

/** What became of variables that were to be kept, by name. Never what they stand for. */
export type LocalAdditions = {
  readonly written: readonly string[]
  /** There already, standing for something else: that stays. */
  readonly kept: readonly string[]
  /** Not written, each with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
  /** Whether the local file's name went into `.gitignore`. */
  readonly ignoreWritten: boolean
}

/**
 * Adds variables to the local file, which only this user may read and which git ignores before it holds anything. A name that is there keeps its
 * value, and a value that the file could not give back exactly is left out.
 */
export async function addLocalVariables(
  workspace: Pick<Workspace, 'directory' | 'git'>,
  variables: ReadonlyMap<string, string>,
): Promise<LocalAdditions> {
  const result = { written: [] as string[], kept: [] as string[], leftOut: [] as { name: string; reason: string }[] }
  if (variables.size === 0) return { ...result, ignoreWritten: false }
  const leaveAll = (reason: string, ignoreWritten: boolean) => ({
    ...result,
    leftOut: [...variables.keys()].map((name) => ({ name, reason })),
    ignoreWritten,
  })
  const file = path.join(workspace.directory, localFileName)
  if (await isTracked(workspace)) return leaveAll(`${localFileName} is tracked by git`, false)
  if (!(await isPlainOrAbsent(file))) return leaveAll(`${localFileName} is no plain file`, false)
  const ignoreWritten = await ensureIgnored(workspace)
  if (!(await workspace.git.isIgnored(bytePath(localFileName)))) {
    return leaveAll(`git does not ignore ${localFileName}`, ignoreWritten)
  }

  const before = (await readOwn(file)) ?? ''
  const known = parse(before)
  let text = before === '' || before.endsWith('\n') ? before : `${before}\n`
  for (const [name, value] of variables) {
    if (known.has(name)) {
      if (known.get(name) !== value) result.kept.push(name)
      continue
    }
    const line = variableLine(name, value)
    // What is in the file already may hold an open quote, which would swallow the line.
    if (line === undefined || !readsBack(text + line, [...known, [name, value]])) {
      result.leftOut.push({ name, reason: `no line of ${localFileName} can hold it exactly` })
      continue
    }
    text += line
    known.set(name, value)
    result.written.push(name)
  }
  if (result.written.length > 0) await replaceFile(file, [Buffer.from(text)], { mode: 0o600 })
  return { ...result, ignoreWritten }
}

/** A line from which `parseEnv` reads exactly this value; undefined where there is none: a carriage return, or all three quotes and a line break. */
export function variableLine(name: string, value: string): string | undefined {
  const lines = ["'", '"', '`', ''].map((quote) => `${name}=${quote}${value}${quote}\n`)
  return lines.find((line) => readsBack(line, [[name, value]]))
}

function readsBack(text: string, expected: readonly (readonly [string, string])[]): boolean {
  // Node ends a text at a zero byte when it hands it over, and turns what is no Unicode into a mark.
  if (text.includes('\0') || !text.isWellFormed()) return false
  const read = parse(text)
  return read.size === new Map(expected).size && expected.every(([name, value]) => read.get(name) === value)
}

function parse(text: string): Map<string, string> {
  return new Map(
    Object.entries(parseEnv(text)).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

async function isTracked({ git }: Pick<Workspace, 'git'>): Promise<boolean> {
  return (await git.trackedPaths()).has(bytePath(localFileName))
}

/** Appends the local file's name to `.gitignore`, unless git ignores it. */
async function ensureIgnored({ directory, git }: Pick<Workspace, 'directory' | 'git'>): Promise<boolean> {
  if (await git.isIgnored(bytePath(localFileName))) return false
  const file = path.join(directory, ignoreFileName)
  if (!(await isPlainOrAbsent(file))) return false
  const before = await readFile(file).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return Buffer.alloc(0)
    throw new EnvError('unavailable', `${ignoreFileName} cannot be read`, { cause: error })
  })
  const mode = (await lstat(file).catch(() => undefined))?.mode ?? 0o644
  const separator = before.length > 0 && before.at(-1) !== 0x0a ? '\n' : ''
  await replaceFile(file, [before, Buffer.from(`${separator}${localFileName}\n`)], { mode: mode & 0o777 })
  return true
}

async function isPlainOrAbsent(file: string): Promise<boolean> {
  const stat = await lstat(file).catch(() => undefined)
  return stat === undefined || stat.isFile()
}

async function readOwn(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw new EnvError('unavailable', `${localFileName} cannot be read`, { cause: error })
  }
}
