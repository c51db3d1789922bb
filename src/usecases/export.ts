import { createReadStream, createWriteStream } from 'node:fs'
import { link, lstat, mkdir, readdir, readlink, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Header, type Pack, pack } from 'tar-stream'
import type { ContentSource } from '../domain/content.ts'
import { EnvError, systemCode } from '../domain/errors.ts'
import type { Manifest, ServiceRecord } from '../domain/manifest.ts'
import { encodeManifest } from '../domain/manifest-codec.ts'
import { syncDirectory } from '../system/durable-file.ts'
import { type ArchiveIndex, archivePath, archiveVersion, listingName, withTemporary } from './archive.ts'
import { resolveSnapshot } from './resolve-snapshot.ts'
import { type ConfiguredWorkspace, openStore } from './workspace.ts'

export type ExportRequest = {
  readonly snapshot: string
  readonly file: string
  /** Whether a file that is there already may be replaced. */
  readonly replace: boolean
}

/** Writes a snapshot as one tar archive. */
export async function exportSnapshot(workspace: ConfiguredWorkspace, request: ExportRequest): Promise<Manifest> {
  const { file, replace } = request
  // Said before all is read; what turns up at that name meanwhile is seen when the archive is given it.
  if (!replace && (await isThere(file))) throw inTheWay(file)
  const store = await openStore(workspace)
  const snapshot = await resolveSnapshot(workspace.git, workspace.environment, request.snapshot)
  const manifest = await store.manifest(snapshot.manifest)
  return withTemporary(path.dirname(path.resolve(file)), async (directory) => {
    workspace.ports.progress.phase('exporting')
    const streams = []
    for (const record of manifest.services) streams.push(...(await exportService(workspace, record, store, directory)))
    await mkdir(path.join(directory, 'git-env'), { recursive: true })
    const index: ArchiveIndex = { version: archiveVersion, streams }
    await writeFile(path.join(directory, 'git-env', 'export.json'), JSON.stringify(index, undefined, 2))
    await writeFile(path.join(directory, 'git-env', 'manifest.json'), encodeManifest(manifest))
    await writeArchive(directory, request)
    workspace.ports.progress.end()
    return manifest
  })
}

async function exportService(
  workspace: ConfiguredWorkspace,
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<ArchiveIndex['streams']> {
  const target = path.join(directory, record.name)
  await mkdir(target)
  await mkdir(path.join(directory, 'git-env'), { recursive: true })
  for (const stream of record.streams.filter((each) => each.kind === 'tree')) {
    await pipeline(source.read(stream.content), createWriteStream(path.join(directory, listingName(record, stream))))
  }
  const driver = await workspace.ports.loadDriver(record.type)
  const exported = await driver.export(record, source, target)
  return exported.map(({ stream, path: name }) => ({
    service: record.name,
    stream,
    path: path.posix.normalize(`${record.name}/${name}`),
  }))
}

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  )
}

function inTheWay(file: string): EnvError {
  return new EnvError('refused', `${file} is there already`, { hint: 'give another name, or --force to replace it' })
}

async function writeArchive(directory: string, { file, replace }: ExportRequest): Promise<void> {
  const archive = pack()
  const temporary = `${file}.part`
  const written = pipeline(archive, createWriteStream(temporary, { flush: true, flags: 'wx' }))
  try {
    await Promise.all([addFolder(archive, directory, ''), written])
    if (replace) await rename(temporary, file)
    else await giveFreeName(temporary, file)
    await syncDirectory(path.dirname(path.resolve(file)))
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') await rm(temporary, { force: true })
    if (error instanceof EnvError) throw error
    throw new EnvError('unavailable', `${file} could not be written`, { cause: error })
  }
}

/** A second name is never given over a file that is there; where the file system has no second names, it is looked for. */
async function giveFreeName(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch {
    if (await isThere(to)) throw inTheWay(to)
    await rename(from, to)
    return
  }
  await rm(from)
}

/** `below` is a byte string, as file names are bytes. */
async function addFolder(archive: Pack, directory: string, below: string): Promise<void> {
  const at = (relative: string) => Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(relative, 'latin1')])
  const names = (await readdir(at(below), { encoding: 'latin1' })).sort()
  for (const name of names) {
    const relative = path.posix.join(below, name)
    const full = at(relative)
    const stats = await lstat(full)
    const { uid, gid, mtime } = stats
    const header: Partial<Header> & { name: string } = {
      name: archivePath(relative),
      mode: stats.mode & 0o7777,
      uid,
      gid,
      mtime,
    }
    if (stats.isDirectory()) {
      archive.entry({ ...header, type: 'directory' })
      await addFolder(archive, directory, relative)
    } else if (stats.isSymbolicLink()) {
      archive.entry({ ...header, type: 'symlink', linkname: await readlink(full) })
    } else {
      const entry = archive.entry({ ...header, type: 'file', size: stats.size })
      await pipeline(createReadStream(full), entry)
    }
  }
  if (below === '') archive.finalize()
}
