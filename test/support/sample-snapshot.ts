import { ulid } from 'ulid'
import type { Manifest } from '../../src/domain/manifest.ts'
import { snapshotMessage } from '../../src/domain/snapshot-message.ts'
import type { GitRepository, NewSnapshot } from '../../src/git/git-repository.ts'

export type SampleOptions = Partial<
  Pick<Manifest, 'id' | 'message' | 'environment' | 'trigger' | 'createdAt' | 'name' | 'partial'>
> &
  Partial<Pick<NewSnapshot, 'placement' | 'ref' | 'changes'>>

/** A snapshot without data, of a given code state, ready to be recorded. */
export function sampleSnapshot(code: { commit: string; tree: string }, options: SampleOptions = {}): NewSnapshot {
  const { placement = 'branch', changes, ref: given, ...facts } = options
  const ref = 'ref' in options ? given : 'refs/heads/main'
  const manifest: Manifest = {
    version: 1,
    id: ulid().toLowerCase(),
    environment: 'main',
    message: 'before upgrade',
    trigger: 'manual',
    createdAt: '2026-11-20T10:00:00.000Z',
    expiresAt: '2026-12-04T10:00:00.000Z',
    partial: false,
    code: { ...code, ...(changes ? { changes: { commit: changes, files: 1 } } : {}) },
    services: [],
    consistency: { level: 'frozen', heldMicros: 0, skewMicros: 0 },
    tool: { name: 'git-env', version: '0.0.0' },
    ...facts,
  }
  const message = snapshotMessage(manifest, 'a'.repeat(64), ['Environment main: nothing in it'])
  return { id: manifest.id, ref, placement, parent: code.commit, message, ...(changes ? { changes } : {}) }
}

/** Records a snapshot of HEAD and gives its id and commit. */
export async function takeSample(repository: Pick<GitRepository, 'head' | 'record'>, options: SampleOptions = {}) {
  const { commit, tree } = await repository.head()
  const snapshot = sampleSnapshot({ commit: commit!, tree: tree! }, options)
  return { id: snapshot.id, commit: await repository.record(snapshot) }
}
