import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import { fileError, makeDirectory, syncDirectory } from '../../system/durable-file.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { dumpOf } from './record.ts'
import { endRunning } from './running.ts'

/** What the journal keeps. Both dumps lie in the area: a way back must not need the store. */
export type StagedDump = {
  readonly version: 1
  readonly area: string
  readonly sha256: string
  /** Of what was there, once the last capture has taken it. */
  readonly before: string | null
}

export const newFile = 'new'
export const oldFile = 'old'

function areaOf({ privateDirectory }: ServiceContext, id: string): string {
  return path.join(privateDirectory, `restore-${id}`)
}

export function fromStaged(staged: Staged): StagedDump {
  return staged as unknown as StagedDump
}

export async function stageDump(
  target: ServiceRecord,
  context: ServiceContext,
  { source, id, progress }: StageOptions,
): Promise<Staged> {
  const area = areaOf(context, id)
  await makeDirectory(area)
  const content = dumpOf(target)
  const sha256 = await writeDump(path.join(area, newFile), source.read(content), progress)
  if (sha256 !== content.sha256) throw new EnvError('damaged', `${context.name}: the dump is not what was stored`)
  context.trace('command: staged')
  return { version: 1, area, sha256, before: null }
}

/** Durable, and read back from the disk; gives its SHA-256. */
export async function writeDump(
  file: string,
  parts: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void = () => {},
): Promise<string> {
  const digest = createHash('sha256')
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'w', 0o600)
    for await (const part of parts) {
      digest.update(part)
      await handle.writeFile(part)
      progress(part.length)
    }
    await handle.sync()
    await syncDirectory(path.dirname(file))
  } catch (error) {
    throw fileError(error, file, 'write the dump')
  } finally {
    await handle?.close()
  }
  const sha256 = digest.digest('hex')
  const back = createHash('sha256')
  for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) back.update(part)
  if (back.digest('hex') === sha256) return sha256
  throw new EnvError('damaged', `${file} is not what was written`, { hint: 'look at the disk and its system log' })
}

export async function removeArea(context: ServiceContext, id: string): Promise<void> {
  await removeFolder(areaOf(context, id))
}

/** A command that a process which died had started may still be at work. */
export async function removeFolder(area: string): Promise<void> {
  await endRunning(area)
  await rm(area, { recursive: true, force: true })
}
