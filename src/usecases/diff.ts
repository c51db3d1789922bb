import type { ContentSource } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import { decodeTree, displayPath, type TreeEntry } from '../domain/tree.ts'
import { differs, pairTrees } from '../domain/tree-diff.ts'
import type { DiffStat } from '../git/git-repository.ts'
import { capture } from './capture.ts'
import type { RestorePlan } from './plan-restore.ts'
import { resolveSnapshot } from './resolve-snapshot.ts'
import { type ConfiguredWorkspace, closeAll, countUncommitted, openServices, openStore } from './workspace.ts'

/** One table or file that is not the same on both sides. */
export type Difference = {
  readonly service: string
  /** `table`, `file`, `folder`, `link`, or `service` where the whole of it is there on one side only. */
  readonly kind: string
  readonly name: string
  readonly change: 'added' | 'changed' | 'removed'
  /** Rows of a table, bytes of a file. */
  readonly before?: number
  readonly after?: number
}

type Side = { readonly records: readonly ServiceRecord[]; readonly source: ContentSource }

export type DiffResult = {
  readonly from: string
  readonly to: string
  readonly differences: readonly Difference[]
  /** Tracked files that differ; undefined when one side is not a commit. */
  readonly code: DiffStat | undefined
  /** Changed and untracked files of the work tree, where it is one of the sides. */
  readonly uncommitted?: number
}

/** `git env diff`: a snapshot against another, or against what is there now when `to` is undefined. */
export async function diff(
  workspace: ConfiguredWorkspace,
  request: { readonly from: string; readonly to: string | undefined; readonly only?: readonly string[] },
): Promise<DiffResult> {
  const { git, environment } = workspace
  const store = await openStore(workspace)
  const from = await resolveSnapshot(git, environment, request.from)
  const manifest = await store.manifest(from.manifest)
  const wanted = (records: readonly ServiceRecord[]) =>
    records.filter((record) => request.only?.includes(record.name) ?? true)
  const before = { records: wanted(manifest.services), source: store }
  if (request.to !== undefined) {
    const to = await resolveSnapshot(git, environment, request.to)
    const after = await store.manifest(to.manifest)
    const differences = await collect(before, { records: wanted(after.services), source: store })
    return { from: from.id, to: to.id, differences, code: await git.diffStat(manifest.code.commit, after.code.commit) }
  }
  const head = await git.head()
  const uncommitted = await countUncommitted(workspace)
  return withLive(workspace, request.only, async (live) => ({
    from: from.id,
    to: 'live',
    differences: await collect(before, { ...live, records: wanted(live.records) }),
    code: head.commit === undefined ? undefined : await git.diffStat(manifest.code.commit, head.commit),
    uncommitted,
  }))
}

/** What a restore would change, per service, and in the code. */
export async function previewRestore(plan: RestorePlan): Promise<DiffResult> {
  const names = plan.parts.map((part) => part.service.name)
  const target = { records: plan.parts.map((part) => part.record), source: plan.store }
  const all = await withLive(plan.workspace, names, (live) => collect(live, target))
  const differences = all.filter((difference) => {
    const only = plan.parts.find((part) => part.service.name === difference.service)?.only
    return only?.some((name) => difference.name === name || difference.name.startsWith(`${name}/`)) ?? true
  })
  return {
    from: 'live',
    to: plan.manifest.id,
    differences,
    code: plan.codePreview,
    ...(plan.codePreview ? { uncommitted: plan.uncommitted } : {}),
  }
}

/** Reads what is there as a snapshot would, and stores nothing; what was read can be looked into while `work` runs. */
async function withLive<T>(
  workspace: ConfiguredWorkspace,
  names: readonly string[] | undefined,
  work: (live: Side) => Promise<T>,
): Promise<T> {
  const store = await openStore(workspace)
  const services = await openServices(workspace, names)
  const writer = store.writer({ dryRun: true })
  try {
    const captured = await capture(workspace.ports, services, writer, { damage: 'keep', live: false })
    return await work({ records: captured.services, source: writer })
  } finally {
    await writer.abort()
    await closeAll(services)
    workspace.ports.progress.end()
  }
}

async function collect(before: Side, after: Side): Promise<Difference[]> {
  const differences: Difference[] = []
  const names = new Set([...before.records, ...after.records].map((record) => record.name))
  for (const name of [...names].sort()) {
    const a = before.records.find((record) => record.name === name)
    const b = after.records.find((record) => record.name === name)
    for await (const difference of compare(name, a, b, before.source, after.source)) differences.push(difference)
  }
  return differences
}

async function* compare(
  service: string,
  a: ServiceRecord | undefined,
  b: ServiceRecord | undefined,
  sourceA: ContentSource,
  sourceB: ContentSource,
): AsyncGenerator<Difference> {
  if (a?.presence !== 'present' || b?.presence !== 'present') {
    const same = a?.presence === b?.presence && streamDigests(a) === streamDigests(b)
    if (!same) yield wholeService(service, a, b)
    return
  }
  yield* compareObjects(service, a, b)
  for (const stream of b.streams.filter((each) => each.kind === 'tree')) {
    const other = a.streams.find((each) => each.name === stream.name)
    if (other?.content.sha256 === stream.content.sha256) continue
    const before = other ? decodeTree(sourceA.read(other.content)) : noEntries()
    yield* compareTrees(service, before, decodeTree(sourceB.read(stream.content)))
  }
}

function streamDigests(record: ServiceRecord | undefined): string {
  return (record?.streams ?? []).map((stream) => stream.content.sha256).join()
}

function wholeService(service: string, a: ServiceRecord | undefined, b: ServiceRecord | undefined): Difference {
  const there = (record: ServiceRecord | undefined) => record !== undefined && record.presence !== 'absent'
  const change = !there(a) ? 'added' : !there(b) ? 'removed' : 'changed'
  return { service, kind: 'service', name: service, change }
}

function* compareObjects(service: string, a: ServiceRecord, b: ServiceRecord): Generator<Difference> {
  const before = new Map(a.objects.map((object) => [`${object.kind} ${object.name}`, object]))
  const after = new Map(b.objects.map((object) => [`${object.kind} ${object.name}`, object]))
  for (const key of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const x = before.get(key)
    const y = after.get(key)
    if (x?.digest === y?.digest) continue
    const { kind, name } = (x ?? y)!
    // Records of before say nothing of it.
    if (kind === 'schema' && !(x && y)) continue
    const change = !x ? 'added' : !y ? 'removed' : 'changed'
    yield { service, kind, name, change, ...(x ? { before: x.rows } : {}), ...(y ? { after: y.rows } : {}) }
  }
}

async function* compareTrees(
  service: string,
  before: AsyncIterable<TreeEntry>,
  after: AsyncIterable<TreeEntry>,
): AsyncGenerator<Difference> {
  for await (const { path, before: x, after: y } of pairTrees(before, after)) {
    if (path === '' || (x && y && !differs(x, y))) continue
    const type = (y ?? x)!.type
    const kind = type === 'directory' ? 'folder' : type === 'symlink' ? 'link' : 'file'
    const change = !x ? 'added' : !y ? 'removed' : 'changed'
    yield {
      service,
      kind,
      name: displayPath(path),
      change,
      ...(x?.content ? { before: x.content.bytes } : {}),
      ...(y?.content ? { after: y.content.bytes } : {}),
    }
  }
}

async function* noEntries(): AsyncGenerator<TreeEntry> {}
