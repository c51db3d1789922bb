import { describe, expect, test } from 'vitest'
import { EnvError } from '../../src/domain/errors.ts'
import { type Holdable, holdTogether } from '../../src/usecases/hold.ts'

const signal = new AbortController().signal
const options = { limitMs: 400, longestAttemptMs: 20, signal }

/** Grants a hold unless told otherwise; remembers what was asked of it. */
class Target implements Holdable {
  held = false
  readonly attempts: number[] = []
  readonly #refuse: (attempt: number) => Error | undefined

  constructor(refuse: (attempt: number) => Error | undefined = () => undefined) {
    this.#refuse = refuse
  }

  async hold(limitMs: number): Promise<void> {
    this.attempts.push(limitMs)
    const error = this.#refuse(this.attempts.length)
    if (error) throw error
    this.held = true
  }

  async release(): Promise<void> {
    this.held = false
  }
}

const inTheWay = new EnvError('busy', 'db: query 7 of app runs: UPDATE stock', { hint: 'wait for it' })

describe('holding together', () => {
  test('holds all', async () => {
    const targets = [new Target(), new Target()]
    await holdTogether(targets, options)
    expect(targets.map((target) => target.held)).toEqual([true, true])
  })

  test('tries again, and lets everybody go in between', async () => {
    const free = new Target()
    const heldMeanwhile: boolean[] = []
    const blocked = new Target((attempt) => {
      if (attempt > 1) heldMeanwhile.push(free.held)
      return attempt < 4 ? inTheWay : undefined
    })
    await holdTogether([blocked, free], options)
    expect(heldMeanwhile).toEqual([false, false, false])
    expect([free.held, blocked.held]).toEqual([true, true])
    expect(blocked.attempts).toEqual([20, 20, 20, 20])
  })

  test('lets later attempts last longer where that is allowed', async () => {
    const blocked = new Target((attempt) => (attempt < 5 ? inTheWay : undefined))
    await holdTogether([blocked], { ...options, limitMs: 2000, longestAttemptMs: 100 })
    expect(blocked.attempts).toEqual([20, 40, 80, 100, 100])
  })

  test('gives up in time, names who is in the way, and nobody is left waiting', async () => {
    const free = new Target()
    const start = performance.now()
    const given = holdTogether([free, new Target(() => inTheWay)], options)
    await expect(given).rejects.toMatchObject({
      code: 'busy',
      message: 'db: query 7 of app runs: UPDATE stock; writers could not be held within 0.4 s',
      hint: 'wait for it',
    })
    expect(performance.now() - start).toBeLessThan(2000)
    expect(free.held).toBe(false)
  })

  test('does not try again what cannot work', async () => {
    const broken = new Target(() => new EnvError('unavailable', 'db: the server is gone'))
    const free = new Target()
    await expect(holdTogether([new Target(() => inTheWay), broken, free], options)).rejects.toThrow('is gone')
    expect(broken.attempts).toHaveLength(1)
    expect(free.held).toBe(false)
  })
})
