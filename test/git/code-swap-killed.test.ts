import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { Staged } from '../../src/domain/swap.ts'
import { codeState, stageOptions } from '../support/code-state.ts'
import { gitSandbox, type Sandbox, sandboxIn } from '../support/git-sandbox.ts'

const child = path.join(import.meta.dirname, '../support/code-swap-process.ts')

/** A work tree with every kind of change, staged to go to a snapshot with changes of its own. */
async function ruins(): Promise<{ box: Sandbox; staged: Staged }> {
  const box = await gitSandbox()
  for (const name of ['a', 'sub/b', 'gone', 'same', 'plain']) box.write(name, `${name} of S\n`)
  const snapshot = box.commit('S')
  box.write('a', 'a changed at S')
  box.write('plain', 'staged at S')
  box.git('add', 'plain')
  box.write('untracked', 'untracked at S')
  const kept = await (await box.open()).code.keepChanges({ exclude: new Set() })
  box.git('reset', '-q', '--hard')
  rmSync(path.join(box.directory, 'untracked'))
  for (const name of ['a', 'sub/b', 'new']) box.write(name, `${name} of HEAD\n`)
  rmSync(path.join(box.directory, 'gone'))
  box.commit('HEAD')
  box.write('.git/info/exclude', 'gone/\n')
  box.write('gone/ignored', 'in the way')
  box.write('a', 'mine')
  box.write('staged', 'staged')
  box.git('add', 'staged')
  box.write('untracked', 'in the way of the changes')
  rmSync(path.join(box.directory, 'same'))
  const target = { commit: snapshot, changes: kept!.commit }
  const staged = await (await box.open()).code.stage(stageOptions(box, { commit: snapshot, target }))
  return { box, staged }
}

/** The same in another folder; the journal's data with it. */
function copyOf({ box, staged }: { box: Sandbox; staged: Staged }, name: string) {
  const directory = `${box.directory}-${name}`
  cpSync(box.directory, directory, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
  const moved = JSON.parse(JSON.stringify(staged).replaceAll(box.directory, directory)) as Staged
  return { box: sandboxIn(directory), staged: moved }
}

function runChild({ box, staged }: { box: Sandbox; staged: Staged }, direction: string, dieAt: number) {
  const args = [child, box.directory, JSON.stringify(staged), direction, String(dieAt)]
  return spawnSync(process.execPath, args, { env: box.environment, encoding: 'utf8' })
}

async function swapOf({ box, staged }: { box: Sandbox; staged: Staged }) {
  return (await box.open()).code.swap(staged, () => {})
}

test.each(['forward', 'back'] as const)(
  'killed at every step of %s, it can go on and can go back',
  async (direction) => {
    const start = await ruins()
    const before = codeState(start.box)
    const whole = copyOf(start, 'whole')
    const run = runChild(whole, 'forward', 0)
    expect(run.stderr).toBe('')
    const after = codeState(whole.box)
    expect(after.files).not.toEqual(before.files)
    const from = direction === 'forward' ? start : whole
    const steps = JSON.parse(
      direction === 'forward' ? run.stdout : runChild(copyOf(whole, 'back'), 'back', 0).stdout,
    ) as string[]
    expect(steps.length).toBeGreaterThan(8)

    for (const [i, step] of steps.entries()) {
      const killed = copyOf(from, String(i))
      expect(runChild(killed, direction, i + 1).signal, step).toBe('SIGKILL')

      const there = copyOf(killed, 'there')
      const forward = await swapOf(there)
      await forward.forward()
      expect(await forward.inspect(), step).toBe('after')
      await forward.readBack()
      expect(codeState(there.box), step).toEqual(after)
      await forward.back()
      expect(codeState(there.box), step).toEqual(before)

      const back = await swapOf(killed)
      await back.back()
      expect(await back.inspect(), step).toBe('before')
      expect(codeState(killed.box), step).toEqual(before)
    }
  },
)

/** Waits for a condition that another process brings about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

test.each(['forward', 'back'] as const)('killed in the middle of git merge, it can go %s', async (direction) => {
  const box = await gitSandbox()
  box.write('.gitattributes', '*.slow filter=slow\n')
  for (let i = 0; i < 5; i++) box.write(`${i}.txt`, `${i} of S`)
  box.write('x.slow', 'slow of S')
  const snapshot = box.commit('S')
  for (let i = 0; i < 5; i++) box.write(`${i}.txt`, `${i} of HEAD`)
  box.write('x.slow', 'slow of HEAD')
  box.commit('HEAD')
  box.write('mine', 'mine')
  box.git('add', 'mine')
  const before = codeState(box)
  const staged = await (await box.open()).code.stage(stageOptions(box, { commit: snapshot }))
  const marker = path.join(box.directory, '../marker')
  box.git('config', 'filter.slow.smudge', `touch ${marker}; sleep 30; cat`)

  const args = [child, box.directory, JSON.stringify(staged), 'forward', '0']
  const running = spawn(process.execPath, args, { env: box.environment, stdio: 'ignore' })
  await until(() => existsSync(marker))
  running.kill('SIGKILL')
  const trace = readFileSync(path.join(box.directory, '.git/env/aside/git-trace'), 'utf8')
  const merge = trace
    .split('\n')
    .filter((line) => line.includes('"version"'))
    .at(-1)!
  process.kill(Number.parseInt(/-P([0-9a-f]{8})"/.exec(merge)![1]!, 16), 'SIGKILL')
  box.git('config', '--unset', 'filter.slow.smudge')
  expect(existsSync(path.join(box.directory, '.git/index.lock'))).toBe(true)

  const swap = await swapOf({ box, staged })
  expect(await swap.inspect()).toBe('between')
  if (direction === 'forward') {
    await swap.forward()
    await swap.readBack()
    expect(box.read('x.slow')).toBe('slow of S')
    expect(box.git('status', '--porcelain')).toBe('')
  }
  await swap.back()
  expect(codeState(box)).toEqual(before)
  await swap.discard()
  expect(box.git('for-each-ref', 'refs/env')).toBe('')
})

test("another process's index lock is never taken away", async () => {
  const start = await ruins()
  const swap = await swapOf(start)
  await swap.lastCapture()
  start.box.write('.git/index.lock', '')
  await expect(swap.hold(50)).rejects.toMatchObject({ code: 'busy' })
  expect(existsSync(path.join(start.box.directory, '.git/index.lock'))).toBe(true)
})
