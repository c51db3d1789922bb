import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import path from 'node:path'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import { fileError, syncDirectory } from '../../system/durable-file.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { nameBlockers, openersOf } from './blockers.ts'
import { type Found, find } from './capture.ts'
import { pieceAt, type Suffix, suffixes } from './pieces.ts'
import { remove, requireRoom } from './place.ts'
import { type Attributes, canRename, nearestFolder, pieceName, setAttributes } from './raw-files.ts'
import { databaseStream } from './records.ts'
import { chooseCookies, type StagedDatabase, type StagedPiece } from './staged.ts'
import { targetName } from './swap-in-place.ts'
import { targetFolder } from './swap-rename.ts'

/** Where a restore keeps its files of one database; two places, since renaming works within one file system only. */
export function swapDirectories(file: string, privateDirectory: string, id: string): { own: string; beside: string } {
  if (!/^[0-9a-zA-Z-]{1,64}$/.test(id)) throw new EnvError('bug', `${JSON.stringify(id)} is no name of a restore`)
  return {
    own: path.join(privateDirectory, `swap-${id}`),
    beside: path.join(path.dirname(file), `.${path.basename(file)}.git-env-${id}`),
  }
}

export type Staging = {
  readonly file: string
  readonly context: ServiceContext
  readonly target: ServiceRecord
  /** What the safety snapshot found: damage that shows only to a full check is known from there. */
  readonly live: ServiceRecord
  readonly options: StageOptions
}

/** Writes what is to be restored beside the live database, durable and read back, and says how it shall be swapped. */
export async function stageDatabase(staging: Staging): Promise<StagedDatabase> {
  const found = await find(staging.file, staging.context.signal)
  try {
    const obstacle = obstacleInPlace(staging, found) ?? (await rehearseInPlace(staging, found))
    if (obstacle === undefined) return await stageInPlace(staging, found)
    if (staging.options.only !== undefined) {
      throw new EnvError('refused', `${staging.context.name}: single tables cannot be restored: ${obstacle}`, {
        hint: `restore ${staging.context.name} whole`,
      })
    }
    await refuseOpeners(staging.file, found, obstacle)
    return await stageRename(staging)
  } finally {
    await found.session?.worker.close()
  }
}

/** Why the content of the live file cannot be made that of the snapshot by SQL, as far as can be told at once. */
function obstacleInPlace({ target, live }: Staging, { look, session }: Found): string | undefined {
  if (target.presence !== 'present') return `it was ${target.presence} in the snapshot`
  if (live.presence !== 'present' || !session)
    return `it is ${live.presence === 'present' ? look.state : live.presence} now`
  if (target.bytes === 0) return 'it was an empty file in the snapshot'
  const { encoding } = target.facts
  if (encoding !== session.opened.encoding)
    return `its texts were ${encoding} in the snapshot, and are ${session.opened.encoding} now`
  return undefined
}

async function rehearseInPlace(
  { file, context, target, live, options }: Staging,
  found: Found,
): Promise<string | undefined> {
  const { own } = swapDirectories(file, context.privateDirectory, options.id)
  await freshFolder(own)
  await requireRoom(own, target.bytes + 2 * found.session!.opened.bytes)
  const goal = path.join(own, targetName)
  await writeStream(streamOf(target, databaseStream), goal, options)
  await syncDirectory(own)
  const present = new Map(live.objects.map((object) => [object.name, object.digest]))
  const tables = target.objects.filter(({ kind, name, digest }) => kind === 'table' && present.get(name) !== digest)
  return found.session!.worker.call('rehearse', { goal, tables: tables.map(({ name }) => name) })
}

/** Who has a healthy file open keeps that very file, whatever name it gets. One that SQLite cannot even open has no writers. */
async function refuseOpeners(file: string, { look, session }: Found, obstacle: string): Promise<void> {
  if (!session && look.state !== 'empty') return
  const openers = await openersOf(file, new Set([process.pid, session?.worker.pid ?? -1]))
  if (!openers?.length) return
  throw new EnvError('refused', `${file} is open in ${nameBlockers(openers)}, and has to be replaced: ${obstacle}`, {
    hint: 'stop that process and run the command again',
    details: { blockers: openers },
  })
}

async function stageInPlace({ file, context, target, live, options }: Staging, found: Found): Promise<StagedDatabase> {
  const { own } = swapDirectories(file, context.privateDirectory, options.id)
  const tables = new Set(
    [...target.objects, ...live.objects].filter(({ kind }) => kind !== 'schema').map(({ name }) => name),
  )
  const unknown = options.only?.find((name) => !tables.has(name))
  if (unknown !== undefined) {
    throw new EnvError(
      'not-found',
      `${context.name}: there is no table ${JSON.stringify(unknown)} in the snapshot or now`,
    )
  }
  context.trace(`${context.name}: staged`)
  const cookies = chooseCookies(found.session!.opened.cookie, Math.random)
  return { way: 'in place', file, directory: own, only: options.only ?? null, ...cookies }
}

async function stageRename({ file, context, target, options }: Staging): Promise<StagedDatabase> {
  const { own, beside } = swapDirectories(file, context.privateDirectory, options.id)
  await freshFolder(own)
  const goal = await nearestFolder(path.dirname(file))
  const directory = (await canRename(own, goal, options.id)) ? own : beside
  if (directory === beside) await remove(own)
  const folder = path.join(directory, targetFolder)
  await freshFolder(folder)
  await requireRoom(folder, target.bytes)
  const pieces: StagedPiece[] = []
  for (const { suffix, stream, attributes } of targetFiles(target, file)) {
    const staged = path.join(folder, pieceName(suffix))
    await writeStream(streamOf(target, stream), staged, options)
    await setAttributes(staged, attributes)
    const { identity, bytes, mtimeNs } = pieceAt(staged, '')!
    pieces.push({ suffix, identity, bytes, mtimeNs })
  }
  await syncDirectory(folder)
  await syncDirectory(directory)
  context.trace(`${context.name}: staged`)
  return { way: 'rename', file, directory, pieces }
}

type TargetFile = { readonly suffix: Suffix; readonly stream: string; readonly attributes: Attributes }

/** A database that is there keeps the mode and owner that its file has now; else they are as they were, and so is an empty file's time. */
function targetFiles(target: ServiceRecord, file: string): TargetFile[] {
  if (target.presence === 'absent') return []
  if (target.presence === 'present') {
    const { mode = 0o644, uid, gid, mtimeNs } = target.facts as Attributes
    const attributes = target.bytes === 0 ? { mode, uid, gid, mtimeNs } : (pieceAt(file, '') ?? { mode, uid, gid })
    return [{ suffix: '', stream: databaseStream, attributes: target.bytes === 0 ? attributes : owned(attributes) }]
  }
  const pieces = target.facts['pieces'] as unknown as readonly (Attributes & { suffix: string })[]
  return pieces.map(({ suffix, ...attributes }) => {
    if (!suffixes.includes(suffix as Suffix)) throw new EnvError('damaged', `${target.name}: unknown piece ${suffix}`)
    return { suffix: suffix as Suffix, stream: `file${suffix}`, attributes }
  })
}

function owned({ mode, uid, gid }: Attributes): Attributes {
  return { mode, uid, gid }
}

function streamOf(record: ServiceRecord, name: string): StreamRecord {
  const stream = record.streams.find((each) => each.name === name)
  if (!stream) throw new EnvError('damaged', `${record.name}: the snapshot has no stream ${name}`)
  return stream
}

async function freshFolder(directory: string): Promise<void> {
  await remove(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
}

/** Durable, and read back from the disk. */
async function writeStream(stream: StreamRecord, file: string, options: StageOptions): Promise<void> {
  await writeContent(options.source, stream, file, options.progress)
  const sum = createHash('sha256')
  for await (const part of createReadStream(file, { highWaterMark: 1_048_576 })) sum.update(part)
  if (sum.digest('hex') !== stream.content.sha256) throw new EnvError('damaged', `${file} is not what was stored`)
}

export async function writeContent(
  source: ContentSource,
  { content }: StreamRecord,
  file: string,
  progress: (bytes: number) => void = () => {},
): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'wx', 0o600)
    for await (const part of source.read(content)) {
      await handle.writeFile(part)
      progress(part.length)
    }
    await handle.sync()
  } catch (error) {
    throw fileError(error, file, `write ${content.bytes} bytes`)
  } finally {
    await handle?.close()
  }
}
