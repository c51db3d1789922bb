import { createWriteStream } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { dumpOf } from './record.ts'

/** `<name>.dump`: the very bytes that the dump command printed. */
export async function exportDump(record: ServiceRecord, source: ContentSource, directory: string): Promise<Exported[]> {
  const file = `${record.name}.dump`
  await pipeline(source.read(dumpOf(record)), createWriteStream(path.join(directory, file)))
  return [{ stream: 'dump', path: file }]
}
