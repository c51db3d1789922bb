import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { treeText } from '../samples/files.ts'
import { MountBench, settled } from '../support/mount-bench.ts'
import { killedAfter } from '../support/mount-process.ts'

/** A few of each kind of operation: a restore of three steps would prove as much as one of thirty, but for what they do to each other. */
async function twoStates() {
  const bench = await MountBench.open()
  mkdirSync(bench.file('folder/inner'), { recursive: true })
  writeFileSync(bench.file('folder/inner/file'), 'inner')
  writeFileSync(bench.file('changed'), 'as captured')
  writeFileSync(bench.file('kept'), 'kept')
  await settled()
  const target = await bench.capture()
  const wanted = treeText(bench.root)
  rmSync(bench.file('folder'), { recursive: true })
  writeFileSync(bench.file('changed'), 'as replaced')
  mkdirSync(bench.file('added'))
  writeFileSync(bench.file('added/file'), 'added')
  await settled()
  const replaced = treeText(bench.root)
  const safety = await bench.capture()
  return { bench, target, wanted, replaced, safety, staged: await bench.stage(target, safety) }
}

for (const ending of ['forward', 'back'] as const) {
  test(`a way back that is killed at any step is finished ${ending}`, async () => {
    for (let step = 1; ; step++) {
      const { bench, wanted, replaced, safety, staged } = await twoStates()
      const swap = await bench.swap(staged)
      const last = await swap.lastCapture()
      await swap.forward()
      expect(treeText(bench.root)).toBe(wanted)
      const wasKilled = await killedAfter(step, bench, last, 'back')
      const again = await bench.swap(last)
      if (ending === 'back') {
        await again.back()
        expect(await again.inspect()).toBe('before')
        expect(treeText(bench.root)).toBe(replaced)
      } else {
        if ((await again.inspect()) !== 'after') await again.lastCapture()
        await again.forward()
        await again.readBack()
        expect(treeText(bench.root)).toBe(wanted)
        expect((await again.before(bench.content, safety)).streams).toEqual(safety.streams)
      }
      await again.discard()
      if (!wasKilled) {
        expect(step, 'every durable step was tried').toBeGreaterThan(6)
        return
      }
    }
  })
}

test('a swap that is killed at any step, and whose files change before it is recovered, loses none of that', async () => {
  for (let step = 1; ; step++) {
    const { bench, wanted, staged, safety } = await twoStates()
    const wasKilled = await killedAfter(step, bench, staged, 'forward')
    writeFileSync(bench.file('changed'), `written after step ${step}`)
    writeFileSync(bench.file('kept'), 'changed meanwhile')
    await settled()
    const swap = await bench.swap(staged)
    const state = await swap.inspect()
    if (state === 'after') {
      await swap.discard()
      if (wasKilled) continue
      expect(step, 'every durable step was tried').toBeGreaterThan(6)
      return
    }
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root)).toBe(wanted)
    const before = await swap.before(bench.content, safety)
    expect(await bench.text(before, 'changed')).toBe(`written after step ${step}`)
    expect(await bench.text(before, 'kept')).toBe('changed meanwhile')
    expect(await bench.text(before, 'added/file')).toBe('added')
    await swap.discard()
  }
})
