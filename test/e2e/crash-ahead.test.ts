import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createRabbitmqSample } from '../samples/rabbitmq.ts'
import { databaseDump } from '../support/fingerprint.ts'
import { makeProject } from '../support/project.ts'

test('SIGKILL of its guard around what is swapped ahead leaves all as before or all as after, and undo is exact', {
  timeout: 600_000,
}, async () => {
  const project = await makeProject({ rows: 3, files: 1 })
  const queues = await createRabbitmqSample()
  const { url, management } = queues.config as { url: string; management: string }
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  const line = `  mail: { type: rabbitmq, url: ${JSON.stringify(url)}, management: ${JSON.stringify(management)} }\n`
  writeFileSync(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n${line}`))
  await project.git('add', '.')
  await project.git('commit', '-qm', 'mail')
  const state = async () => [databaseDump(project.database), await queues.fingerprint()]
  await project.ok('snapshot', '-m', 'good', '--name', 'good')
  const good = await state()
  project.sql("UPDATE notes SET text = 'ruined'")
  await queues.change(1)
  const bad = await state()

  const traced = await project.run(['restore', 'good', '--yes', '--data-only'], { env: { GIT_ENV_TRACE: '1' } })
  expect(traced).toMatchObject({ status: 0 })
  expect(await state()).toEqual(good)
  await project.ok('undo')
  expect(await state()).toEqual(bad)
  const steps = [...traced.stderr.matchAll(/^trace (\d+) (\d+) (.*) \(\d+ ms\)$/gm)].map(([, pid, nr, step]) => ({
    pid,
    nr,
    step,
  }))
  const guard = steps.findLast(({ step }) => step === 'journal: settled')!.pid
  const inGuard = steps.filter(({ pid }) => pid === guard)
  const from = inGuard.findIndex(({ step }) => step === 'mail: definitions made')
  const to = inGuard.findIndex(({ step }) => step === 'swap: app swapped')
  expect([from > 0, to > from + 3]).toEqual([true, true])
  for (const { nr, step } of inGuard.slice(from, to + 1)) {
    await project.run(['restore', 'good', '--yes', '--data-only'], { env: { GIT_ENV_KILL_GUARD_AT: nr! } })
    await project.ok('recover', '--wait')
    const now = await state()
    expect([step, [good, bad].some((each) => JSON.stringify(each) === JSON.stringify(now))]).toEqual([step, true])
    if (JSON.stringify(now) === JSON.stringify(good)) await project.ok('undo')
    expect([step, await state()]).toEqual([step, bad])
  }
})
