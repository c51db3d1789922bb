import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { emptyUndoLog, enter, type Journal, type Operation } from '../../src/domain/journal.ts'

function journal(id: string, operation: Operation, snapshot: string): Journal {
  return {
    version: 1,
    id,
    operation,
    state: 'done',
    startedAt: '2026-01-01T00:00:00.000Z',
    ref: 'refs/heads/main',
    worktree: '/project',
    worktreeKey: 'main',
    config: '',
    snapshot,
    safety: '',
    partial: false,
    codeMode: 'append',
    services: [],
    participants: [],
    owners: {},
  }
}

describe('the undo log', () => {
  test('goes one restore further back at each undo, and forward again at each redo', () => {
    let log = emptyUndoLog
    log = enter(log, journal('r1', 'restore', 'a'), 'before-1')
    log = enter(log, journal('r2', 'restore', 'b'), 'before-2')
    log = enter(log, journal('u1', 'undo', 'before-2'), 'after-2')
    expect(log.position).toBe(1)
    expect(log.entries[1]?.after).toBe('after-2')
    log = enter(log, journal('u2', 'undo', 'before-1'), 'after-1')
    expect(log.position).toBe(0)
    log = enter(log, journal('d1', 'redo', 'after-1'), 'before-1-again')
    expect(log.position).toBe(1)
    expect(log.entries[0]?.before).toBe('before-1-again')
  })

  test('forgets what was undone once something else is restored', () => {
    let log = enter(emptyUndoLog, journal('r1', 'restore', 'a'), 'b1')
    log = enter(log, journal('u1', 'undo', 'b1'), 'a1')
    log = enter(log, journal('r2', 'restore', 'c'), 'b2')
    expect(log.entries.map((entry) => entry.id)).toEqual(['r2'])
    expect(log.position).toBe(1)
  })

  test('is the same however often a journal is entered', () => {
    const operations = fc.array(fc.constantFrom<Operation>('restore', 'undo', 'redo'), { maxLength: 80 })
    fc.assert(
      fc.property(operations, (sequence) => {
        let log = emptyUndoLog
        sequence.forEach((operation, i) => {
          const once = enter(log, journal(`j${i}`, operation, 's'), `before-${i}`)
          expect(enter(once, journal(`j${i}`, operation, 's'), `before-${i}`)).toEqual(once)
          log = once
          expect(log.position).toBeGreaterThanOrEqual(0)
          expect(log.position).toBeLessThanOrEqual(log.entries.length)
          expect(log.entries.length).toBeLessThanOrEqual(50)
        })
      }),
    )
  })
})
