import { describe, expect, test } from 'vitest'
import { copyOf, countSteps, crashAt, expectWhole, makeTemplate, wholeState } from '../support/crash.ts'

/** Every durable step of the command is killed once, each in a copy of the same project. */
describe('a crash', { timeout: 900_000 }, () => {
  test.each(['GIT_ENV_KILL_AT', 'GIT_ENV_KILL_GUARD_AT'])(
    'at any step of an undo (%s) leaves the state before or the state after',
    async (variable) => {
      const { project: template, good, bad } = await makeTemplate()
      await template.ok('restore', '--yes')
      const steps = await countSteps(template, ['undo'])
      const count = variable === 'GIT_ENV_KILL_AT' ? steps.own : steps.guard
      for (let step = 1; step <= count; step++) {
        const project = await copyOf(template)
        await crashAt(project, ['undo'], variable, step)
        const state = await expectWhole(project, [good, bad])
        await project.ok('undo', ...(state === bad ? ['--redo'] : []))
        expect(wholeState(project)).toBe(state === bad ? good : bad)
      }
    },
  )
})
