import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { definitionsStream, documentsStream, loadDefinitions, storedOf } from './record.ts'

/** `definitions.json`, and a folder as mongodump makes it: `mongorestore --uri <uri> <folder>/dump`. */
export async function exportCollections(
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<Exported[]> {
  const dump = path.join(directory, 'dump')
  await mkdir(dump, { recursive: true })
  if (record.presence !== 'present') return []
  const collections = await loadDefinitions(source, record)
  await writeFile(path.join(directory, 'definitions.json'), `${JSON.stringify({ version: 1, collections })}\n`)
  const exported: Exported[] = [{ stream: definitionsStream, path: 'definitions.json' }]
  for (const { name, type, options, indexes } of collections) {
    const file = path.join(dump, encodeURIComponent(name))
    const idIndex = { v: { $numberInt: '2' }, key: { _id: { $numberInt: '1' } }, name: '_id_' }
    const isPlain = type === 'collection' && options['clusteredIndex'] === undefined
    const metadata = { indexes: [...(isPlain ? [idIndex] : []), ...indexes], collectionName: name, type, options }
    await writeFile(`${file}.metadata.json`, JSON.stringify(metadata))
    if (type === 'view') continue
    await pipeline(source.read(storedOf(record, name).content), createWriteStream(`${file}.bson`, { flags: 'wx' }))
    exported.push({ stream: documentsStream(name), path: path.join('dump', `${encodeURIComponent(name)}.bson`) })
  }
  return exported
}
