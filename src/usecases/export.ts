import { createReadStream, createWriteStream } from 'node:fs'
import { lstat, mkdir, readdir, readlink, rename, rm, writeFile } from 'node:fs/promises'
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

/** Writes a snapshot as one tar archive. */
export async function exportSnapshot(workspace: ConfiguredWorkspace, name: string, file: string): Promise<Manifest> {
  const store = await openStore(workspace)
  const snapshot = await resolveSnapshot(workspace.git, workspace.environment, name)
  const manifest = await store.manifest(snapshot.manifest)
  return withTemporary(path.dirname(path.resolve(file)), async (directory) => {
    workspace.ports.progress.phase('exporting')
    const streams = []
    for (const record of manifest.services) streams.push(...(await exportService(workspace, record, store, directory)))
    await mkdir(path.join(directory, 'git-env'), { recursive: true })
    const index: ArchiveIndex = { version: archiveVersion, streams }
    await writeFile(path.join(directory, 'git-env', 'export.json'), JSON.stringify(index, undefined, 2))
    await writeFile(path.join(directory, 'git-env', 'manifest.json'), encodeManifest(manifest))
    await writeArchive(directory, file)
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

async function writeArchive(directory: string, file: string): Promise<void> {
  const archive = pack()
  const temporary = `${file}.part`
  const written = pipeline(archive, createWriteStream(temporary, { flush: true, flags: 'wx' }))
  try {
    await Promise.all([addFolder(archive, directory, ''), written])
    await rename(temporary, file)
    await syncDirectory(path.dirname(path.resolve(file)))
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') await rm(temporary, { force: true })
    throw new EnvError('unavailable', `${file} could not be written`, { cause: error })
  }
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
