import { writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { EnvError } from '../../src/domain/errors.ts'
import type { Probe, Service, ServiceDriver } from '../../src/services/service-driver.ts'
import { doctor } from '../../src/usecases/doctor.ts'
import { init } from '../../src/usecases/init.ts'
import { configure, openWorkspace } from '../../src/usecases/workspace.ts'
import { wire } from '../../src/wiring.ts'
import { makeProject } from '../support/project.ts'

const grant = 'GRANT LOCK TABLES ON `shop`.* TO `app`@`%`'
const probe: Probe = {
  presence: 'present',
  summary: 'MariaDB 11.4, 3 tables',
  bytes: 0,
  versions: {},
  rung: 'a point of its own',
  advice: grant,
  swap: 'rename',
  warnings: ['a view is not restored exactly'],
}

/** Of three servers one is well, one has lost its data, one is down. */
const standIn: ServiceDriver = {
  type: 'mariadb',
  kind: 'service',
  schema: v.looseObject({}),
  detect: async () => [],
  export: () => Promise.reject(new Error('not needed')),
  open: async (_, { name }) =>
    ({
      name,
      driver: standIn,
      resources: [],
      place: 'shop on 127.0.0.1:3306',
      probe: async () => {
        if (name === 'down') throw new EnvError('unavailable', 'down: no answer', { hint: 'start it' })
        return name === 'gone' ? { ...probe, presence: 'absent', summary: 'no database', advice: undefined } : probe
      },
      close: async () => {},
    }) as unknown as Service,
}

test('doctor says for each service what works, what is missing and what mends it', async () => {
  const project = await makeProject({ initialized: false })
  const ports = wire({
    environment: project.environment,
    entry: '',
    progress: { phase: () => {}, advance: () => {}, warn: () => {}, end: () => {} },
    signal: new AbortController().signal,
  })
  const url = 'mysql://db.example.com/shop'
  await writeFile(
    project.path('.git-env.yaml'),
    `services:
  down: { type: mariadb }
  gone: { type: mariadb }
  well: { type: mariadb, url: "${url}" }
`,
  )
  const workspace = await openWorkspace(
    { ...ports, driverTypes: ['mariadb'], loadDriver: async () => standIn },
    project.directory,
  )
  await init(workspace)
  const findings = await doctor(await configure(workspace))
  expect(findings.filter(({ subject }) => subject !== 'store')).toEqual([
    {
      subject: 'configuration',
      level: 'problem',
      text: 'well is on db.example.com, which is not this machine',
      hint: 'look at it, then: git env allow',
    },
    { subject: 'down', level: 'problem', text: 'no answer', hint: 'start it' },
    {
      subject: 'gone',
      level: 'problem',
      text: 'no database; a point of its own',
      hint: 'git env restore brings it back',
    },
    { subject: 'gone', level: 'warning', text: 'a view is not restored exactly' },
    { subject: 'well', level: 'ok', text: 'MariaDB 11.4, 3 tables; a point of its own', hint: grant },
    { subject: 'well', level: 'warning', text: 'a view is not restored exactly' },
  ])
})
