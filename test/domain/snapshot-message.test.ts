import { expect, test } from 'vitest'
import type { Manifest } from '../../src/domain/manifest.ts'
import {
  parseRestored,
  parseSnapshotMessage,
  restoreMessage,
  snapshotMessage,
} from '../../src/domain/snapshot-message.ts'

const manifest: Manifest = {
  version: 1,
  id: '01jd3k00000000000000000001',
  environment: 'feature/x',
  name: 'golden',
  message: 'before upgrade\nSnapshot-Id: 01jd3k00000000000000000002',
  trigger: 'push',
  createdAt: '2026-11-20T10:00:00.000Z',
  expiresAt: '2026-12-04T10:00:00.000Z',
  partial: true,
  code: { commit: 'c'.repeat(40), tree: 'd'.repeat(40), changes: { commit: 'e'.repeat(40), files: 3 } },
  services: [],
  consistency: { level: 'frozen', heldMicros: 0, skewMicros: 0 },
  tool: { name: 'git-env', version: '0.0.0' },
}

test('the text of a snapshot commit', () => {
  expect(
    snapshotMessage(manifest, 'a'.repeat(64), ['Environment feature/x: nothing', '', '  db  3 tables']),
  ).toMatchInlineSnapshot(`
    "snapshot: before upgrade

    Snapshot-Id: 01jd3k00000000000000000002

    Environment feature/x: nothing

      db  3 tables

    Snapshot-Id: 01jd3k00000000000000000001
    Snapshot-Name: golden
    Snapshot-Environment: feature/x
    Snapshot-Manifest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    Snapshot-Code: cccccccccccccccccccccccccccccccccccccccc
    Snapshot-Tree: dddddddddddddddddddddddddddddddddddddddd
    Snapshot-Format: 1
    Snapshot-Created: 2026-11-20T10:00:00.000Z
    Snapshot-Expires: 2026-12-04T10:00:00.000Z
    Snapshot-Trigger: push
    Snapshot-Partial: true
    Snapshot-Changes: eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee
    "
  `)
})

test('is read back', () => {
  expect(parseSnapshotMessage(snapshotMessage(manifest, 'a'.repeat(64), []))).toEqual({
    id: manifest.id,
    environment: 'feature/x',
    name: 'golden',
    message: 'before upgrade',
    trigger: 'push',
    manifest: 'a'.repeat(64),
    code: 'c'.repeat(40),
    tree: 'd'.repeat(40),
    partial: true,
    createdAt: new Date('2026-11-20T10:00:00.000Z'),
    expiresAt: new Date('2026-12-04T10:00:00.000Z'),
    changes: 'e'.repeat(40),
  })
})

test('two ids, no id, an id that is none, or no manifest make no snapshot', () => {
  const text = snapshotMessage(manifest, 'a'.repeat(64), [])
  expect(parseSnapshotMessage(`${text}Snapshot-Id: ${manifest.id}\n`)).toBeUndefined()
  expect(parseSnapshotMessage(text.replace(/^Snapshot-Id: .*1\n/m, ''))).toBeUndefined()
  expect(parseSnapshotMessage(text.replace(/01jd3k00000000000000000001/g, '../../x'))).toBeUndefined()
  expect(parseSnapshotMessage(text.replace(/^Snapshot-Manifest: .*\n/m, ''))).toBeUndefined()
  expect(parseSnapshotMessage(text.replaceAll(/^/gm, '    '))).toBeUndefined()
})

test('the text of a restore, and of an undo of a snapshot without a message', () => {
  const facts = {
    kind: 'restore',
    restoreId: '01jd3k00000000000000000009',
    snapshotId: manifest.id,
    snapshotCommit: 'f'.repeat(40),
    snapshotMessage: 'before upgrade',
    safety: '01jd3k00000000000000000008',
    body: ['2 services'],
  } as const
  const text = restoreMessage(facts)
  expect(text).toMatchInlineSnapshot(`
    "restore: before upgrade

    2 services

    Restored-Snapshot: 01jd3k00000000000000000001
    Restored-Commit: ffffffffffffffffffffffffffffffffffffffff
    Snapshot-Safety: 01jd3k00000000000000000008
    Restore-Id: 01jd3k00000000000000000009
    "
  `)
  expect(parseRestored(text)).toBe(manifest.id)
  expect(parseSnapshotMessage(text)).toBeUndefined()
  expect(restoreMessage({ ...facts, kind: 'undo', snapshotMessage: '\n' })).toMatch(/^undo: 01jd3k000000\n\n/)
})
