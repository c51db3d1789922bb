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
import { type Piece, pieceAt, type Suffix, suffixes } from './pieces.ts'
import { remove, requireRoom } from './place.ts'
import { canRename, nearestFolder, pieceName, setAttributes } from './raw-files.ts'
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
    const way = await chooseWay(staging, found)
    return way === 'in place' ? await stageInPlace(staging, found) : await stageRename(staging)
  } finally {
    await found.session?.worker.close()
  }
}

async function chooseWay(
  { file, target, live, options, context }: Staging,
  found: Found,
): Promise<'in place' | 'rename'> {
  const { look, session } = found
  const present = session !== undefined && live.presence === 'present' && target.presence === 'present'
  if (present && target.bytes > 0 && target.facts['encoding'] === session.opened.encoding) return 'in place'
  if (options.only !== undefined) {
    const what =
      target.presence === 'present' ? `the database is ${look.state}` : `it was ${target.presence} in the snapshot`
    throw new EnvError('refused', `${context.name}: single tables cannot be restored: ${what}`, {
      hint: `restore ${context.name} whole`,
    })
  }
  if (look.state === 'damaged' && !session) return 'rename'
  const openers = await openersOf(file, new Set([process.pid, session?.worker.pid ?? -1]))
  if (!openers?.length) return 'rename'
  throw new EnvError(
    'refused',
    `${file} is open in ${nameBlockers(openers)}, and its file has to be replaced: ${reasonFor(target)}`,
    {
      hint: 'stop that process and run the command again',
      details: { blockers: openers },
    },
  )
}

function reasonFor(target: ServiceRecord): string {
  if (target.presence !== 'present') return `it was ${target.presence} in the snapshot`
  return target.bytes === 0
    ? 'it was an empty file in the snapshot'
    : `it was ${target.facts['encoding']} in the snapshot`
}

async function stageInPlace({ file, context, target, options }: Staging, found: Found): Promise<StagedDatabase> {
  const { own } = swapDirectories(file, context.privateDirectory, options.id)
  await freshFolder(own)
  await requireRoom(own, target.bytes + 2 * found.session!.opened.bytes)
  await writeStream(streamOf(target, databaseStream), path.join(own, targetName), options)
  await syncDirectory(own)
  context.trace(`${context.name}: staged`)
  const cookies = chooseCookies(found.session!.opened.cookie, Math.random)
  return { way: 'in place', file, directory: own, only: options.only ?? null, ...cookies }
}

async function stageRename({ file, context, target, options }: Staging): Promise<StagedDatabase> {
  const { own, beside } = swapDirectories(file, context.privateDirectory, options.id)
  await mkdir(own, { recursive: true, mode: 0o700 })
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

type Attributes = Partial<Pick<Piece, 'mode' | 'uid' | 'gid' | 'mtimeNs'>>
type TargetFile = { readonly suffix: Suffix; readonly stream: string; readonly attributes: Attributes }

/** A database that is there keeps the mode and owner that its file has now, as far as there is one. */
function targetFiles(target: ServiceRecord, file: string): TargetFile[] {
  if (target.presence === 'absent') return []
  const live = pieceAt(file, '')
  if (target.presence === 'present') {
    const { mode, uid, gid } = (live ?? target.facts) as Attributes
    return [
      {
        suffix: '',
        stream: databaseStream,
        attributes: {
          mode: mode ?? 0o644,
          ...(uid === undefined ? {} : { uid }),
          ...(gid === undefined ? {} : { gid }),
        },
      },
    ]
  }
  const pieces = target.facts['pieces'] as unknown as readonly (Attributes & { suffix: string })[]
  return pieces.map(({ suffix, ...attributes }) => {
    if (!suffixes.includes(suffix as Suffix)) throw new EnvError('damaged', `${target.name}: unknown piece ${suffix}`)
    return { suffix: suffix as Suffix, stream: `file${suffix}`, attributes }
  })
}

export function streamOf(record: ServiceRecord, name: string): StreamRecord {
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
