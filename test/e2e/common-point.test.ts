import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import { loadDriver } from '../../src/services/registry.ts'
import type { Service } from '../../src/services/service-driver.ts'
import { capture } from '../../src/usecases/capture.ts'
import type { Ports } from '../../src/usecases/ports.ts'
import { startCounterWriter } from '../support/counter-writer.ts'
import { MemoryContent } from '../support/memory-content.ts'
import { mariadbServer } from '../support/servers/mariadb.ts'
import { sharedPostgres } from '../support/servers/postgres.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const snapshots = 50

test('a counter that one writer keeps in two databases, in SQLite and in a file is never apart by more than its step', async () => {
  const place = await temporaryDirectory()
  const project = path.join(place, 'project')
  mkdirSync(path.join(project, 'media/deeper'), { recursive: true })
  const file = path.join(project, 'media/deeper/counter')
  for (let i = 0; i < 40; i++) writeFileSync(path.join(project, `media/file-${i}`), `file ${i}`)
  writeFileSync(file, 'counter 000000000\n')
  const sqlite = path.join(project, 'app.sqlite')
  const create = 'CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0);'
  const database = new DatabaseSync(sqlite)
  database.exec(`PRAGMA journal_mode = wal; ${create}`)
  database.close()
  const mariadb = await mariadbServer()
  await mariadb.sql('CREATE DATABASE counting')
  await mariadb.sql(create, 'counting')
  const postgres = await sharedPostgres()
  await postgres.run('postgres', 'CREATE DATABASE counting')
  await postgres.run('counting', create)

  const open = async (type: string, config: Record<string, unknown>): Promise<Service> =>
    (await loadDriver(type)).open(config, {
      name: type,
      environmentKey: 'main-00000000',
      nameHere: undefined,
      variable: () => undefined,
      commands: { environment: {}, secrets: [] },
      projectDirectory: project,
      forbidden: [],
      privateDirectory: path.join(place, 'private', type),
      allowed: true,
      foreign: new Set(),
      trace() {},
      signal: new AbortController().signal,
    })
  const services = [
    await open('mariadb', {
      url: `mysql://root@localhost/counting?socketPath=${encodeURIComponent(mariadb.socketPath)}`,
    }),
    await open('postgres', { url: postgres.url('counting') }),
    await open('sqlite', { path: 'app.sqlite' }),
    await open('files', { path: 'media' }),
  ]
  const writer = await startCounterWriter({
    mariadb: { socketPath: mariadb.socketPath, database: 'counting' },
    postgres: { host: postgres.socketFolder, database: 'counting' },
    sqlite,
    file,
  })
  const ports = {
    progress: { phase() {}, advance() {}, warn() {}, end() {} },
    trace() {},
    signal: new AbortController().signal,
  } as unknown as Ports
  const seen: number[][] = []
  const levels: string[] = []
  for (let i = 0; i < snapshots; i++) {
    const content = new MemoryContent()
    const { services: records, consistency } = await capture(ports, services, content, {
      damage: 'refuse',
      live: false,
    })
    levels.push(consistency.level)
    const counters = records.map((record) => counterIn(record, content, path.join(place, `export-${i}`)))
    seen.push(await Promise.all(counters))
    await sleep(10)
  }
  const last = await writer.stop()
  expect(last).toBeGreaterThan(snapshots)
  expect(seen.filter((counters) => Math.max(...counters) - Math.min(...counters) > 1)).toEqual([])
  // A temporary file that is made within the same step of the clock as the look is named, which lowers the level.
  expect(levels.filter((level) => level === 'frozen').length).toBeGreaterThan(snapshots * 0.8)
  // They moved on from one to the next: it was not the same all the time.
  expect(new Set(seen.map(([first]) => first)).size).toBeGreaterThan(snapshots / 2)
})

/** As the service's own export says it. */
async function counterIn(record: ServiceRecord, content: MemoryContent, directory: string): Promise<number> {
  const into = path.join(directory, record.name)
  mkdirSync(into, { recursive: true })
  const exported = await (await loadDriver(record.type)).export(record, content, into)
  const first = path.join(into, exported[0]!.path)
  if (record.type === 'sqlite') {
    const database = new DatabaseSync(first, { readOnly: true })
    const row = database.prepare('SELECT value FROM counter').get()
    database.close()
    return Number(row!['value'])
  }
  const text = readFileSync(record.type === 'files' ? path.join(into, 'deeper/counter') : first, 'utf8')
  const pattern = {
    files: /^counter (\d+)\n$/,
    mariadb: /INSERT INTO `counter`.*?\((\d+)\)/s,
    postgres: /^COPY .*counter.*\n(\d+)$/m,
  }[record.type as 'files' | 'mariadb' | 'postgres']
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`no counter in ${text}`)
  return Number(found)
}
