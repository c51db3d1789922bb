import { hash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { canonicalJson, type Json } from '../domain/canonical-json.ts'
import type { ChunkProfile, Content, ContentSink } from '../domain/content.ts'
import { EnvError, systemCode } from '../domain/errors.ts'
import type { Manifest, ServiceRecord } from '../domain/manifest.ts'
import { decodeManifest, encodeManifest } from '../domain/manifest-codec.ts'
import { shortId } from '../domain/snapshot-id.ts'
import { decodeTree } from '../domain/tree.ts'
import type { SnapshotCommit } from '../git/git-repository.ts'
import type { Store } from '../store/store.ts'
import { type ArchiveIndex, archivePath, archiveVersion, listingName, withTemporary } from './archive.ts'
import { recordManifest } from './snapshot.ts'
import { type ConfiguredWorkspace, openStore } from './workspace.ts'

/** Takes an exported snapshot into this clone's store and records it beside the commit that its data belongs to. */
export async function importSnapshot(workspace: ConfiguredWorkspace, file: string): Promise<Manifest> {
  const store = await openStore(workspace)
  await mkdir(workspace.state.directory, { recursive: true })
  return withTemporary(workspace.state.directory, async (directory) => {
    workspace.ports.progress.phase('importing')
    await readArchive(file, directory)
    const { manifest, index } = await readHead(directory, file)
    const recorded = await recordOf(workspace, store, manifest)
    const writer = store.writer()
    try {
      for (const record of manifest.services) await importService(record, index, directory, writer)
      if (recorded) await writer.finish(manifest)
      else await recordManifest(workspace, writer, manifest, 'side')
      return manifest
    } catch (error) {
      await writer.abort()
      throw error
    } finally {
      workspace.ports.progress.end()
    }
  })
}

/** The snapshot commit, where Git has it and only its data is not here, as in a clone. */
async function recordOf(
  workspace: ConfiguredWorkspace,
  store: Store,
  manifest: Manifest,
): Promise<SnapshotCommit | undefined> {
  const known = await workspace.git.snapshot(manifest.id)
  if (known && (await store.hasManifest(known.manifest))) {
    throw new EnvError('refused', `snapshot ${shortId(manifest.id)} is already in this repository`)
  }
  if (known && known.manifest !== hash('sha256', encodeManifest(manifest))) {
    throw new EnvError('refused', `snapshot ${shortId(manifest.id)} in this repository is not the one in the archive`)
  }
  if (known) return known
  const { commit, changes } = manifest.code
  await requireCommit(workspace, commit, 'belongs to', 'fetch the branch it was taken on, then import again')
  if (changes) {
    const ref = `refs/env/changes/${manifest.id}`
    const hint = `git fetch ${ref}:${ref} from where it was taken, then import again`
    await requireCommit(workspace, changes.commit, 'has uncommitted code, kept as', hint)
  }
  return undefined
}

async function requireCommit(workspace: ConfiguredWorkspace, commit: string, role: string, hint: string) {
  if ((await workspace.git.commit(commit)) !== undefined) return
  throw new EnvError('refused', `the snapshot ${role} commit ${commit}, which this repository does not have`, { hint })
}

/** Regular files only, and never outside the folder: an archive is a stranger's. Symlinks stand in the listings and are not needed. */
async function readArchive(file: string, directory: string): Promise<void> {
  const archive = extract()
  const read = pipeline(createReadStream(file), archive)
  // The entry that is being written waits for ever for the rest of an archive that is cut short: only the reading fails then.
  const failed = read.then(() => new Promise<never>(() => {}))
  failed.catch(() => {})
  try {
    for await (const entry of archive) {
      const { name, type } = entry.header
      const segments = name.split('/').filter((segment) => segment !== '')
      if (name.startsWith('/') || segments.includes('..') || name.includes('\0')) {
        throw new EnvError('refused', `${file} holds a path that leads out of it: ${JSON.stringify(name)}`)
      }
      const target = path.join(directory, ...segments)
      if (type === 'file' || type === 'contiguous-file') {
        await mkdir(path.dirname(target), { recursive: true })
        await Promise.race([pipeline(entry, createWriteStream(target, { flags: 'wx', mode: 0o600 })), failed])
      } else {
        entry.resume()
      }
    }
    await read
  } catch (error) {
    if (error instanceof EnvError) throw error
    throw new EnvError(
      systemCode(error) === 'ENOENT' ? 'not-found' : 'damaged',
      `${file} cannot be read as an export`,
      {
        cause: error,
      },
    )
  }
}

async function readHead(directory: string, file: string): Promise<{ manifest: Manifest; index: ArchiveIndex }> {
  try {
    const read = (name: string) => readFile(path.join(directory, 'git-env', name), 'utf8')
    const index = JSON.parse(await read('export.json')) as ArchiveIndex
    if (index.version !== archiveVersion) {
      throw new EnvError('refused', `${file} was made by another version of git-env`, { hint: 'update git-env' })
    }
    const bytes = Buffer.from(await read('manifest.json'))
    const manifest = decodeManifest(bytes, hash('sha256', bytes))
    // Names become paths below.
    if (manifest.services.some((service) => !/^[a-z][a-z0-9_-]*$/.test(service.name)))
      throw new Error('odd service name')
    return { manifest, index }
  } catch (error) {
    if (error instanceof EnvError) throw error
    throw new EnvError('damaged', `${file} is not an export of git-env, or is cut short`, { cause: error })
  }
}

async function importService(
  record: ServiceRecord,
  index: ArchiveIndex,
  directory: string,
  sink: ContentSink,
): Promise<void> {
  for (const stream of record.streams) {
    const at = index.streams.find((each) => each.service === record.name && each.stream === stream.name)
    if (!at) throw new EnvError('damaged', `the archive does not hold ${stream.name} of ${record.name}`)
    const target = path.join(directory, ...at.path.split('/').filter((segment) => segment !== '..'))
    if (stream.kind === 'bytes') {
      await store(sink, stream.content, target, ['pages', 'rows', 'binary'])
      continue
    }
    const listing = path.join(directory, listingName(record, stream))
    await store(sink, stream.content, listing, ['listing'])
    for await (const entry of decodeTree(createReadStream(listing))) {
      if (!entry.content) continue
      const file = path.join(target, ...archivePath(entry.path).split('/'))
      await store(sink, entry.content, file, ['rows', 'binary'])
    }
  }
}

/** Stores a file; the manifest says which content must come of it, and so which way it was cut. */
async function store(
  sink: ContentSink,
  expected: Content,
  file: string,
  profiles: readonly ChunkProfile[],
): Promise<void> {
  for (const profile of profiles) {
    const content = await sink.write(profile, createReadStream(file))
    if (canonicalJson(content as unknown as Json) === canonicalJson(expected as unknown as Json)) return
    if (content.sha256 !== expected.sha256) break
  }
  throw new EnvError('damaged', `${path.basename(file)} in the archive is not what its manifest says`)
}
