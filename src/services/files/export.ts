import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { storedTree } from './record.ts'
import { readStored } from './target-tree.ts'
import { type Placed, writeEntries } from './tree-writer.ts'

/**
 * Writes the tree into an empty folder as what it is: files, folders, symlinks, with their metadata. What stood in the place of a mount's
 * folder gets the mount's name in there.
 */
export async function exportTree(record: ServiceRecord, source: ContentSource, directory: string): Promise<Exported[]> {
  if (record.presence === 'absent') return []
  const items: Placed[] = []
  for await (const entry of readStored(storedTree(record), source)) {
    const isTop = entry.path === ''
    if (isTop && entry.type === 'directory') continue
    items.push({
      place: isTop ? record.name : entry.path,
      entry,
      ...(entry.link === undefined ? {} : { linkPlace: entry.link }),
    })
  }
  const signal = new AbortController().signal
  await writeEntries(Buffer.from(directory), items, { source, signal, progress: () => {} })
  return [{ stream: 'tree', path: record.presence === 'damaged' ? record.name : '.' }]
}
