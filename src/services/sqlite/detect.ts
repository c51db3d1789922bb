import { open, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Detected, Project } from '../service-driver.ts'
import { magic } from './page-file.ts'

const likelyFolders = ['', 'data', 'var', 'database', 'db', 'storage', 'instance', 'prisma']
const likelyNames = /\.(sqlite3?|db3?)$/i
const never = new Set(['node_modules', 'vendor', '.git'])
const deepest = 3
const mostLooks = 500
const mostFound = 10

/**
 * SQLite databases that Git does not track, in the places where applications keep them. Reads the first 16 bytes of a file:
 * that is safe although the file may be in use, because this process has no SQLite handle on it whose locks it could drop.
 */
export async function detectDatabases(project: Project): Promise<Detected[]> {
  const search = { looks: 0, found: [] as string[] }
  for (const folder of likelyFolders) await searchFolder(project, folder, folder === '' ? deepest : 1, search)
  return search.found.map((file) => ({
    name: nameFor(file),
    config: { path: file },
    reason: `${file} is a SQLite database`,
  }))
}

async function searchFolder(
  project: Project,
  folder: string,
  depth: number,
  search: { looks: number; found: string[] },
): Promise<void> {
  const entries = await readdir(path.join(project.directory, folder), { withFileTypes: true }).catch(() => [])
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (search.found.length >= mostFound || search.looks++ >= mostLooks || never.has(entry.name)) continue
    if (entry.isDirectory() && depth < deepest && folder !== '') await searchFolder(project, file, depth + 1, search)
    if (!entry.isFile() || !likelyNames.test(entry.name)) continue
    if (
      !project.tracked.has(file) &&
      !search.found.includes(file) &&
      (await isDatabase(path.join(project.directory, file)))
    ) {
      search.found.push(file)
    }
  }
}

async function isDatabase(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch(() => undefined)
  if (!handle) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(magic.length), 0, magic.length, 0)
    return bytesRead === magic.length && buffer.toString('latin1') === magic
  } finally {
    await handle.close()
  }
}

/** `data/Shop DB.sqlite` → `shop-db`. */
function nameFor(file: string): string {
  const stem = path.posix.basename(file).replace(likelyNames, '').toLowerCase()
  const name = stem.replace(/[^a-z0-9]+/g, '-').replace(/^[^a-z]+|-+$/g, '')
  return name.slice(0, 41) || 'db'
}
