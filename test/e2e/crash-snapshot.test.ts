import { describe, expect, test } from 'vitest'
import { copyOf, countSteps, crashAt, expectWhole, makeTemplate } from '../support/crash.ts'

/** Every durable step of the command is killed once, each in a copy of the same project. */
describe('a crash', { timeout: 900_000 }, () => {
  test('at any step of a snapshot leaves it absent or complete, and older ones intact', async () => {
    const { project: template, bad } = await makeTemplate()
    const words = ['snapshot', '-m', 'next']
    const { own } = await countSteps(template, words)
    expect(own).toBeGreaterThan(5)
    for (let step = 1; step <= own; step++) {
      const project = await copyOf(template)
      await crashAt(project, words, 'GIT_ENV_KILL_AT', step)
      await expectWhole(project, [bad])
      expect(await project.ok('verify', '--data')).toContain('no damage found')
      const count = (await project.json<unknown[]>('log', '--snapshots')).length
      expect(count === 1 || count === 2).toBe(true)
      await project.ok('snapshot', '-m', 'again')
      expect((await project.json<unknown[]>('log', '--snapshots')).length).toBe(count + 1)
    }
  })
})
