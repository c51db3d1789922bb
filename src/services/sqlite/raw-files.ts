import { execFile } from 'node:child_process'
import { chmod, chown, link, lstat, mkdir, open, readdir, rename, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { systemCode } from '../../domain/errors.ts'
import { syncDirectory } from '../../system/durable-file.ts'
import { type Piece, pieceAt, type Suffix } from './pieces.ts'

/** Where a file system has no hard links. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/** Gives a file a second folder's name in place of its own, and leaves what has that name already; false then. Durable. */
export async function moveTo(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    await syncDirectory(path.dirname(to))
    await unlink(from)
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (code === 'EEXIST') return (await sameFile(from, to)) ? unlink(from).then(() => true) : false
    if (!noLinks.has(code)) throw error
    if (await exists(to)) return false
    await rename(from, to)
    await syncDirectory(path.dirname(to))
  }
  await syncDirectory(path.dirname(from))
  return true
}

/** What a crash between the two halves of a move leaves. */
async function sameFile(a: string, b: string): Promise<boolean> {
  return pieceAt(a, '')?.identity === pieceAt(b, '')?.identity
}

async function exists(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  )
}

export type Attributes = { readonly [Key in 'mode' | 'uid' | 'gid' | 'mtimeNs']?: Piece[Key] | undefined }

/** Mode, owner (where that is permitted) and modification time to the nanosecond. */
export async function setAttributes(file: string, piece: Attributes): Promise<void> {
  if (piece.uid !== undefined && piece.gid !== undefined) await chown(file, piece.uid, piece.gid).catch(() => {})
  if (piece.mode !== undefined) await chmod(file, piece.mode)
  if (piece.mtimeNs === undefined) return
  const ns = BigInt(piece.mtimeNs)
  const handle = await open(file, 'r')
  try {
    await handle.utimes(Number(ns / 1000n) / 1e6, Number(ns / 1000n) / 1e6)
  } finally {
    await handle.close()
  }
  // Node sets times in microseconds at best.
  const fraction = `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`
  await promisify(execFile)('touch', ['-c', '-m', '-d', `@${fraction}`, '--', file]).catch(() => {})
}

/** The folder nearest to a path that exists. */
export async function nearestFolder(directory: string): Promise<string> {
  return (await exists(directory)) ? directory : nearestFolder(path.dirname(directory))
}

/** Whether a file can be renamed from one folder to another: asked by doing it, since mounts and quotas do not tell otherwise. */
export async function canRename(from: string, to: string, id: string): Promise<boolean> {
  const name = `.git-env-${id}`
  const source = path.join(from, name)
  const goal = path.join(to, name)
  await writeFile(source, '')
  try {
    await rename(source, goal)
    await unlink(goal)
    return true
  } catch (error) {
    await unlink(source).catch(() => {})
    if (systemCode(error) === 'EXDEV') return false
    throw error
  }
}

/** The names that hold a file of one of these identities, below a folder, by identity. */
export async function findByIdentity(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => [])
  for (const entry of entries) {
    const file = path.join(entry.parentPath, entry.name)
    const piece = entry.isFile() ? pieceAt(file, '') : undefined
    if (piece) found.set(piece.identity, file)
  }
  return found
}

export async function makeFolder(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true })
  if (first !== undefined) await syncDirectory(path.dirname(first))
}

/** The suffix of a piece by the name it has in one of our folders. */
export function pieceName(suffix: Suffix): string {
  return `file${suffix}`
}
