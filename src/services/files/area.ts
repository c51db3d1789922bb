import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
} from 'node:fs'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { formatBytes } from '../../domain/format-text.ts'
import { displayPath, parentPath } from '../../domain/tree.ts'
import { makeDirectory, replaceFile, syncDirectory } from '../../system/durable-file.ts'
import { setFolderTimes } from './exact-times.ts'
import { at, type Mount, stagingPrefix } from './mount.ts'
import { mountPointsBelow } from './mount-points.ts'
import { lstat } from './walk.ts'

/**
 * Where a restore stages new files (`new/`) and sets old ones aside (`old/`): on the mount's own file system, since both come and go by
 * rename. In the service's private folder if that will do, else inside the mount.
 */
export type Area = { readonly directory: string }

type Where = { readonly area: string; readonly folder: string; readonly folderMtimeNs: string }

const whereFile = 'where.json'

/** The private folder of one restore: small files always, and the area itself where renames reach the mount from there. */
function restoreFolder(mount: Mount, id: string): string {
  return path.join(mount.privateDirectory, `restore-${id}`)
}

/** `beside`: never inside the mount's folder, which is to be replaced itself. */
export async function makeArea(mount: Mount, id: string, beside: boolean): Promise<Area> {
  const own = restoreFolder(mount, id)
  await makeDirectory(own)
  const folder = nearestFolder(beside ? parentPath(mount.root) : mount.root)
  const directory = canRename(own, folder) ? own : await makeAreaIn(folder, own, id)
  for (const name of ['new', 'old']) mkdirSync(path.join(directory, name), { recursive: true, mode: 0o700 })
  await syncDirectory(directory)
  return { directory }
}

/** The mount's folder, or the nearest one above it that exists. */
export function nearestFolder(root: string): string {
  for (let folder = root; ; folder = folder.slice(0, folder.lastIndexOf('/')) || '/') {
    if (lstat({ root: folder }, '')?.isDirectory() || folder === '/') return displayPath(folder)
  }
}

/**
 * Whether a rename from one folder into the other stays within one mounted file system. Device numbers do not tell: bind mounts share
 * them. The kernel does: it looks at that before it refuses `.` as a name, so nothing is ever renamed.
 */
function canRename(from: string, to: string): boolean {
  if (lstatSync(from).dev !== lstatSync(to).dev) return false
  const probe = path.join(from, 'probe')
  mkdirSync(probe, { recursive: true })
  try {
    renameSync(probe, `${to}/.`)
    return false
  } catch (error) {
    return ['EBUSY', 'EINVAL', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')
  } finally {
    rmdirSync(probe)
  }
}

/** A folder's mtime changes when one is made in it; it is put back, since the live data is not to change yet. */
async function makeAreaIn(folder: string, own: string, id: string): Promise<string> {
  const area = path.join(folder, `${stagingPrefix}${id}`)
  const { mtimeNs } = lstatSync(folder, { bigint: true })
  const where: Where = { area, folder, folderMtimeNs: String(mtimeNs) }
  await replaceFile(path.join(own, whereFile), [Buffer.from(JSON.stringify(where))])
  await keepingTime(where, () => {
    try {
      mkdirSync(area, { mode: 0o700 })
    } catch (error) {
      const code = systemCode(error) ?? 'failed'
      if (code === 'EEXIST') return
      throw new EnvError(code === 'EROFS' ? 'refused' : 'unavailable', `${folder}: could not be staged into: ${code}`, {
        cause: error,
        hint:
          code === 'EROFS'
            ? 'the file system is read-only: mount it writable'
            : 'give this user the right to write there',
      })
    }
  })
  return area
}

async function keepingTime({ folder, folderMtimeNs }: Where, action: () => void): Promise<void> {
  const before = lstatSync(folder, { bigint: true })
  const isClosed = process.geteuid?.() !== 0 && (before.mode & 0o200n) === 0n
  if (isClosed && before.uid === BigInt(process.geteuid?.() ?? -1))
    chmodSync(folder, Number(before.mode & 0o7777n) | 0o700)
  try {
    action()
  } finally {
    const mode = Number(before.mode & 0o7777n)
    if (isClosed) chmodSync(folder, mode)
    const times = [{ path: '', mtimeNs: BigInt(folderMtimeNs), mode }]
    await setFolderTimes(Buffer.from(folder), times, new AbortController().signal).catch(() => {})
  }
}

/** Removes all that belongs to a restore. What the mount's folder became since then keeps its own mtime. */
export async function removeArea(mount: Mount, id: string): Promise<void> {
  const own = restoreFolder(mount, id)
  const where = readWhere(path.join(own, whereFile))
  for (const folder of where ? [own, where.area] : [own]) refuseMountedIn(folder)
  if (where && lstat({ root: Buffer.from(where.area).toString('latin1') }, '')) {
    const folderMtimeNs = String(lstatSync(where.folder, { bigint: true }).mtimeNs)
    removeTree(Buffer.from(path.join(where.area, 'new')))
    removeTree(Buffer.from(path.join(where.area, 'old')))
    await keepingTime({ ...where, folderMtimeNs }, () => removeTree(Buffer.from(where.area)))
  }
  removeTree(Buffer.from(own))
}

/** Somebody mounted something in a folder that was set aside: to remove that would empty it. */
function refuseMountedIn(folder: string): void {
  const [point] = mountPointsBelow(Buffer.from(folder).toString('latin1'))
  if (point === undefined) return
  throw new EnvError('busy', `${folder}/${displayPath(point)}: another file system is mounted there`, {
    hint: 'unmount it: what lies around it was set aside by a restore, and is to be removed',
  })
}

function readWhere(file: string): Where | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Where
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Removes a folder with all in it, by bytes, and whatever rights its folders have, on its own file system. Nothing when it is not there. */
function removeTree(directory: Buffer, device?: bigint): void {
  const top = lstatSync(directory, { bigint: true, throwIfNoEntry: false })
  if (top && device !== undefined && top.dev !== device) {
    throw new EnvError('busy', `${directory.toString('utf8')}: another file system is mounted there`, {
      hint: 'unmount it',
    })
  }
  let names: string[]
  try {
    names = readdirSync(directory, { encoding: 'latin1' })
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT') return
    if (code === 'ENOTDIR') {
      unlinkSync(directory)
      return
    }
    if (code !== 'EACCES') throw error
    chmodSync(directory, 0o700)
    names = readdirSync(directory, { encoding: 'latin1' })
  }
  for (const name of names) {
    const file = Buffer.concat([directory, Buffer.from(`/${name}`, 'latin1')])
    if (lstatSync(file).isDirectory()) removeTree(file, top?.dev)
    else removeFile(directory, file)
  }
  rmdirSync(directory)
}

function removeFile(directory: Buffer, file: Buffer): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error
    chmodSync(directory, 0o700)
    unlinkSync(file)
  }
}

/** Throws `unavailable` when the area's file system has no room for so many bytes in so many files. */
export function requireRoom(area: Area, bytes: number, files: number): void {
  const { bavail, bsize } = statfsSync(area.directory)
  const needed = bytes + files * bsize
  if (needed <= bavail * bsize) return
  throw new EnvError(
    'unavailable',
    `${area.directory}: ${formatBytes(needed)} are needed there to stage the files, ${formatBytes(bavail * bsize)} are free`,
    {
      hint: 'make room on that file system, then run it again',
    },
  )
}

/** Where an operation sets aside what it finds. What turns up at the name after that goes to `<aside>.1`, `<aside>.2`, … */
export function aside(number: number): string {
  return `old/${number}`
}

/** Where what is set aside next goes. */
export function freeAside(area: Area, number: number): string {
  let place = aside(number)
  while (exists(area, place)) place = following(place)
  return place
}

function following(place: string): string {
  const [, stem = place, count = '0'] = /^(.*\/\d+)(?:\.(\d+))?$/.exec(place) ?? []
  return `${stem}.${Number(count) + 1}`
}

/** What was set aside last by an operation. */
export function lastAside(area: Area, number: number): string | undefined {
  let place = aside(number)
  // The first ones are missing where `keepOlderAsides` was cut short.
  for (let missing = 0; !exists(area, place); place = following(place)) if (++missing === 16) return undefined
  for (let next = following(place); exists(area, next); next = following(place)) place = next
  return place
}

/** Before the last of several set-asides is given back: those before it are kept apart, or they would be given back over it the next time. */
export function keepOlderAsides(area: Area, number: number, last: string): void {
  for (let place = aside(number); place !== last; place = following(place)) {
    if (exists(area, place)) renameSync(inArea(area, place), setOffPlace(area, number))
  }
}

/** A free place for what stood in the way of going back; kept with the set-asides. */
export function setOffPlace(area: Area, number: number): Buffer {
  for (let count = 1; ; count++) {
    const place = `old/kept-${number}.${count}`
    if (!exists(area, place)) return inArea(area, place)
  }
}

export function exists(area: Area, place: string): boolean {
  return lstat(asRoot(area), place) !== undefined
}

/** Whether a swap has begun to change the live data. */
export function isBegun(area: Area): boolean {
  return exists(area, begunMarker)
}

/** Stands in the area from before the first change until the last one is made, or taken back. */
export const begunMarker = 'begun'

export function asRoot(area: Area): { readonly root: string } {
  return { root: Buffer.from(area.directory).toString('latin1') }
}

/** A path of the area as Node's file functions take it. */
export function inArea(area: Area, place: string): Buffer {
  return at(asRoot(area), place)
}
