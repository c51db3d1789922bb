import { access } from 'node:fs/promises'
import path from 'node:path'
import { Document, isScalar, YAMLMap } from 'yaml'
import { configFileName } from '../domain/config-file.ts'
import { EnvError } from '../domain/errors.ts'
import { bytePath } from '../domain/tree.ts'
import type { Detected } from '../services/service-driver.ts'
import { replaceFile } from '../system/durable-file.ts'
import { type ConfiguredWorkspace, configure, openStore, storeLocation, type Workspace } from './workspace.ts'

type Found = Detected & { readonly type: string; readonly kind: 'service' | 'mount'; readonly ignored: boolean }

export type InitResult = {
  readonly configFile: string
  readonly configWritten: boolean
  readonly storeCreated: boolean
  readonly storeLocation: string
  readonly found: readonly Found[]
  readonly workspace: ConfiguredWorkspace
}

/** Writes a configuration from what the project has, unless there is one, and makes the store, unless there is one. */
export async function init(workspace: Workspace): Promise<InitResult> {
  if (workspace.git.topLevel === undefined) {
    throw new EnvError('refused', 'this is a bare repository', { hint: 'run git env init in a work tree' })
  }
  const file = path.join(workspace.directory, configFileName)
  const exists = await access(file).then(
    () => true,
    () => false,
  )
  const found = exists ? [] : await detect(workspace)
  if (!exists) await replaceFile(file, [Buffer.from(configText(found))], { mode: 0o644 })
  const configured = await configure(workspace)
  const storeCreated = await ensureStore(configured)
  return {
    configFile: file,
    configWritten: !exists,
    storeCreated,
    storeLocation: storeLocation(configured),
    found,
    workspace: configured,
  }
}

/** Whether a store was made. One that is at the place already is taken: another clone's, or this one's from an init that was cut short. */
async function ensureStore(workspace: ConfiguredWorkspace): Promise<boolean> {
  const { ports, state } = workspace
  if ((await state.storeId()) !== undefined) {
    await openStore(workspace)
    return false
  }
  const location = storeLocation(workspace)
  try {
    await state.recordStoreId((await ports.openStore(location, undefined)).id)
    return false
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'not-found') throw error
  }
  const store = await ports.createStore(location, ports.newId())
  await state.recordStoreId(store.id)
  return true
}

async function detect(workspace: Workspace): Promise<Found[]> {
  const { ports, git, directory } = workspace
  const found: Found[] = []
  const tracked = await git.trackedPaths()
  for (const type of ports.driverTypes) {
    const driver = await ports.loadDriver(type)
    for (const each of await driver.detect({ directory, tracked })) {
      const ignored = typeof each.config['path'] === 'string' && (await git.isIgnored(bytePath(each.config['path'])))
      found.push({ ...each, name: freeName(each.name, found), type, kind: driver.kind, ignored })
    }
  }
  return found
}

function freeName(name: string, found: readonly Found[]): string {
  let free = name
  for (let n = 2; found.some((each) => each.name === free); n++) free = `${name}-${n}`
  return free
}

/** The text of a new configuration: what was found, each with the reason as a comment, and how to add what was not. */
function configText(found: readonly Found[]): string {
  const document = new Document({})
  document.commentBefore = [
    ' What git-env saves with every snapshot of a branch: the data of services and the folders of uploaded files.',
    ' Code is in Git already. Paths are relative to this file.',
  ].join('\n')
  for (const [section, kind] of [
    ['services', 'service'],
    ['mounts', 'mount'],
  ] as const) {
    const map = new YAMLMap()
    for (const { name, type, config, reason } of found.filter((each) => each.kind === kind)) {
      const value =
        kind === 'service' ? { type, ...config } : Object.keys(config).length === 1 ? config['path'] : config
      const pair = document.createPair(name, value)
      if (isScalar(pair.key)) pair.key.commentBefore = ` ${reason}`
      map.items.push(pair)
    }
    if (map.items.length === 0) map.comment = examples[kind]
    document.set(section, map)
  }
  return document.toString({ flowCollectionPadding: true })
}

const examples = {
  service: ' for example:\n   app: { type: sqlite, path: data/app.sqlite }',
  mount: ' for example:\n   media: uploads',
}
