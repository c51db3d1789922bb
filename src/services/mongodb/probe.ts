import { EnvError } from '../../domain/errors.ts'
import { plural } from '../../domain/format-text.ts'
import { Program } from '../connection/program.ts'
import type { Probe } from '../service-driver.ts'
import { findCollections } from './collections.ts'
import type { Server } from './server.ts'
import { numberOf, type Shell } from './shell.ts'

/** Until somebody has, and says so. */
const untried = 'not yet run against a real server: this driver was tested against a stand-in only'

const cluster = 'this is a sharded cluster (mongos), which is not supported'

export async function probeDatabase(shell: Shell, signal: AbortSignal): Promise<Probe> {
  const { server } = shell
  const version = await versionOf(shell)
  const { live, views, unsupported } = await findCollections(shell)
  const tools = await Promise.all(['mongodump', 'mongorestore'].map((tool) => toolVersion(server, tool, signal)))
  const missing = tools.flatMap((told) => (told instanceof EnvError ? [`${told.message}; ${told.hint}`] : []))
  const more = views.size === 0 ? '' : `, ${plural(views.size, 'view')}`
  return {
    presence: live.size + views.size > 0 ? 'present' : 'absent',
    summary: `MongoDB ${version}, ${plural(live.size, 'collection')}${more}`,
    bytes: numberOf((await shell.command({ dbStats: 1 }))['dataSize']),
    versions: { mongodb: version, ...(typeof tools[0] === 'string' ? { mongodump: tools[0] } : {}) },
    rung: 'live: each collection is dumped by itself right after the common point, while others write',
    swap: 'rename',
    warnings: [
      untried,
      'users and roles are not in a snapshot',
      ...missing,
      ...((await isCluster(shell)) ? [`${cluster}: no snapshot can be taken`] : []),
      ...unsupported.map((text) => `${text}: no snapshot can be taken while it is in this database`),
    ],
  }
}

export async function versionOf(shell: Shell): Promise<string> {
  return String((await shell.command({ buildInfo: 1 }))['version'])
}

export async function refuseCluster(shell: Shell): Promise<void> {
  if (!(await isCluster(shell))) return
  throw new EnvError('refused', `${shell.server.name}: ${cluster}`, { hint: 'name a server or a replica set' })
}

async function isCluster(shell: Shell): Promise<boolean> {
  return (await shell.command({ hello: 1 }))['msg'] === 'isdbgrid'
}

async function toolVersion(server: Server, tool: string, signal: AbortSignal): Promise<string | EnvError> {
  try {
    const program = await Program.start([tool, '--version'], { ...server, signal })
    const parts: Uint8Array[] = []
    for await (const part of program.output()) parts.push(part)
    program.end()
    return /version: (\S+)/.exec(Buffer.concat(parts).toString('utf8'))?.[1] ?? 'unknown'
  } catch (error) {
    if (error instanceof EnvError && error.code === 'unavailable') return error
    throw error
  }
}
