import { chmod, copyFile, mkdir, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { systemCode } from '../domain/errors.ts'
import { replaceFile } from '../system/durable-file.ts'
import { type CodeStaged, incomingPaths, pathsToSetAside, type Work } from './code-plan.ts'
import type { IndexLock } from './index-lock.ts'
import type { Overlay } from './kept-changes.ts'
import { contentOf, type Expected, type FilesContext, lookAt } from './live-files.ts'
import { findObstacles } from './obstacles.ts'
import { below, parentsOf } from './paths.ts'
import { removeEmpty, removeFile, type SetAside } from './set-aside.ts'
import type { TreeFile } from './tree-diff.ts'
import { lstatOrUndefined } from './work-files.ts'
import { type TrackedChange, type WorkTreeStatus, workTreeStatus } from './work-tree-status.ts'

/** What must be known to go back, written down before the first change. */
export type Plan = {
  /** Tracked files that were not there. */
  readonly deleted: readonly string[]
  /** Folders that were not there and may come to be. */
  readonly newDirectories: readonly string[]
  /** Untracked files that already were what they are to become. */
  readonly stay: readonly string[]
  readonly hasIndex: boolean
}

export type SwapContext = FilesContext & {
  readonly staged: CodeStaged
  readonly lock: IndexLock
  readonly aside: SetAside
  /** The index of this work tree. */
  readonly index: string
  readonly step: (name: string) => void
}

const withoutLfs = { GIT_LFS_SKIP_SMUDGE: '1' }

/** What is there that has to go: the status of the work tree with it. */
export type Look = {
  readonly status: WorkTreeStatus
  readonly paths: readonly string[]
  readonly stay: readonly string[]
}

export async function look(context: SwapContext, work: Work): Promise<Look> {
  const { git, top, staged } = context
  const status = await workTreeStatus(git, top, new Set(staged.exclude))
  return { status, ...(await pathsToSetAside(context, work, status, staged)) }
}

/** Writes down the state before: a copy of the index, and what a look at the files later would not tell. */
export async function writePlan(context: SwapContext, work: Work, { status, stay }: Look): Promise<void> {
  const { top, staged, index } = context
  const bytes = await readFile(index).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error
  })
  const deleted: string[] = []
  for (const { path: name, submodule } of status.tracked) {
    const stats = submodule ? undefined : await lstatOrUndefined(below(top, name))
    if (!submodule && (stats === undefined || stats.isDirectory()) && work.tracked.has(name)) deleted.push(name)
  }
  const folders = new Set([...incomingPaths(work, status)].flatMap(parentsOf))
  const newDirectories: string[] = []
  for (const name of folders) {
    if (!(await lstatOrUndefined(below(top, name)))?.isDirectory()) newDirectories.push(name)
  }
  const plan: Plan = { deleted, newDirectories, stay, hasIndex: bytes !== undefined }
  if (bytes) await replaceFile(path.join(staged.asideDirectory, 'index'), [bytes])
  await replaceFile(path.join(staged.asideDirectory, 'plan.json'), [Buffer.from(JSON.stringify(plan))])
  context.step('state before written down')
}

export async function readPlan({ staged }: SwapContext): Promise<Plan> {
  return JSON.parse(await readFile(path.join(staged.asideDirectory, 'plan.json'), 'utf8')) as Plan
}

/** Makes tracked files and index what HEAD has, and the way free: whatever else stands there is moved aside. */
export async function setAside(context: SwapContext, work: Work, { status, paths }: Look): Promise<void> {
  const { staged, aside, lock } = context
  await aside.take('before', paths, () => context.step('a file set aside'))
  context.step('files set aside')
  const changed = status.tracked.filter((change) => change.submodule === undefined)
  if (status.tracked.some((change) => change.staged || change.intentToAdd)) {
    await lock.run(['read-tree', '-m', '-i', staged.old])
    context.step('index at HEAD')
  }
  await checkOutAgain(
    context,
    changed.filter(({ path: name }) => work.tracked.has(name)),
  )
}

/** Never over a file that stands there: without `-f` that is an error, and the next pass sets it aside. */
async function checkOutAgain({ lock, step }: SwapContext, changes: readonly TrackedChange[]): Promise<void> {
  if (changes.length === 0) return
  const input = changes.map(({ path: name }) => `${name}\0`).join('')
  // Files that the user told Git not to look at must be looked at now.
  await lock.run(['update-index', '--no-skip-worktree', '-z', '--stdin'], { input })
  await lock.run(['update-index', '--no-assume-unchanged', '-z', '--stdin'], { input })
  await lock.run(['checkout-index', '-q', '-u', '-z', '--stdin'], { input, env: withoutLfs, answers: [1, 128] })
  step('files checked out again')
}

/** Lays kept changes over the new commit: index and files as they were, staged, unstaged and untracked apart. */
export async function layOver(context: SwapContext, work: Work, overlay: Overlay): Promise<void> {
  const { top, aside, lock, staged } = context
  await lock.run(['read-tree', '-m', '-i', overlay.indexTree])
  context.step('index of the changes read')
  const affected = expectedPaths(work, overlay, overlayPaths(overlay))
  const found = await lookAt(context, affected)
  await aside.take('before', pathsFound(found, 'theirs'), () => context.step('a file set aside'))
  for (const [name, state] of found) {
    if (state === 'clean' || state === 'torn') await removeFile(below(top, name))
  }
  const incoming = [...overlay.raw.keys(), ...overlay.fromIndex.keys()]
  const exclude = new Set(staged.exclude)
  const known = new Set(incoming)
  await aside.take('before', await findObstacles({ top, incoming, tracked: known, exclude }), () => {})
  for (const [name, file] of overlay.raw) if (found.get(name) !== 'raw') await writeRaw(context, name, file)
  context.step('changed files written')
  if (overlay.fromIndex.size > 0) {
    const input = [...overlay.fromIndex.keys()].map((name) => `${name}\0`).join('')
    await lock.run(['checkout-index', '-q', '-u', '-z', '--stdin'], { input, env: withoutLfs })
  }
  if (overlay.intentToAdd.length > 0) {
    const env = { GIT_LITERAL_PATHSPECS: '1' }
    const input = overlay.intentToAdd.map((name) => `${name}\0`).join('')
    await lock.run(['add', '-N', '-f', '--pathspec-from-file=-', '--pathspec-file-nul'], { input, env })
  }
  await lock.run(['update-index', '-q', '--refresh'], { answers: [1] })
  context.step('changes laid over')
}

export function overlayPaths(overlay: Overlay): string[] {
  return [...overlay.raw.keys(), ...overlay.fromIndex.keys(), ...overlay.removed]
}

function pathsFound<T>(found: ReadonlyMap<string, T>, ...wanted: readonly T[]): string[] {
  return [...found].filter(([, state]) => wanted.includes(state)).map(([name]) => name)
}

/** What a restore itself may have put at these paths: the file before, after, or of the changes. */
export function expectedPaths(
  work: Work,
  overlay: Overlay | undefined,
  paths: Iterable<string>,
): Map<string, Expected> {
  const targets = new Map(work.changes.map((change) => [change.path, change.to]))
  const expected = new Map<string, Expected>()
  for (const name of paths) {
    const before = work.tracked.get(name)
    const after = targets.has(name) ? targets.get(name) : before
    expected.set(name, { clean: [before, after, overlay?.fromIndex.get(name)], raw: overlay?.raw.get(name) })
  }
  return expected
}

/** Files this large are written by Git itself, which does not hold them in memory. */
const largeBlobBytes = 8 << 20

async function writeRaw(context: SwapContext, name: string, file: TreeFile): Promise<void> {
  const { git, top, staged } = context
  const target = below(top, name)
  for (const parent of parentsOf(name)) await mkdir(below(top, parent)).catch(unlessExists)
  const bytes = Number(await git.text(['cat-file', '-s', file.id]))
  const temporary = path.join(staged.asideDirectory, 'writing')
  await rm(temporary, { force: true })
  if (file.mode === '120000') await symlink(await contentOf(git, file, undefined), temporary)
  else if (bytes > largeBlobBytes) await rename(await unpack(context, file), temporary)
  else await writeFile(temporary, await contentOf(git, file, undefined))
  await placeFile(temporary, target, file)
}

/** `git unpack-file` writes a blob to a temporary file in the work tree, which here is the folder of set-asides. */
async function unpack({ git, staged }: SwapContext, file: TreeFile): Promise<string> {
  const gitDirectory = await git.text(['rev-parse', '--absolute-git-dir'])
  const env = { GIT_DIR: gitDirectory, GIT_WORK_TREE: staged.asideDirectory }
  return path.join(
    staged.asideDirectory,
    await git.text(['unpack-file', file.id], { env, directory: staged.asideDirectory }),
  )
}

async function placeFile(temporary: string, target: Buffer, file: TreeFile): Promise<void> {
  if (file.mode !== '120000') {
    await chmod(temporary, (file.mode === '100755' ? 0o777 : 0o666) & ~process.umask())
    const handle = await open(temporary, 'r')
    await handle.sync()
    await handle.close()
  }
  await rename(temporary, target).catch(async (error: unknown) => {
    if (systemCode(error) !== 'EXDEV') throw error
    await copyFile(temporary, target)
    await rm(temporary)
  })
}

function unlessExists(error: unknown): void {
  if (systemCode(error) !== 'EEXIST') throw error
}

/**
 * Brings files and index to the commit before, whatever a move that was cut short has left. `leave`: paths that are not touched.
 * `absent`: paths that are not there in the end, though the commit has them. What a user made meanwhile is moved aside.
 */
export async function rollFilesBack(
  context: SwapContext,
  work: Work,
  options: {
    readonly kind: 'before' | 'kept'
    readonly leave: ReadonlySet<string>
    readonly absent: ReadonlySet<string>
    readonly newDirectories: readonly string[]
  },
): Promise<void> {
  const { top, staged, aside, lock } = context
  const { overlay } = work
  const paths = new Set([
    ...work.changes.map((change) => change.path),
    ...(overlay ? overlayPaths(overlay) : []),
    ...options.absent,
  ])
  for (const name of options.leave) paths.delete(name)
  const found = await lookAt(context, expectedPaths(work, overlay, paths))
  await aside.take(options.kind, pathsFound(found, 'theirs'), () => context.step('a file set aside'))
  const back = [...paths].filter((name) => work.tracked.has(name) && !options.absent.has(name))
  const backSet = new Set(back)
  for (const [name, state] of found) {
    if (!backSet.has(name) && state !== 'theirs' && state !== 'folder') await removeFile(below(top, name))
  }
  await removeEmpty(top, options.newDirectories)
  const exclude = new Set(staged.exclude)
  const obstacles = await findObstacles({
    top,
    incoming: [...back, ...options.absent],
    tracked: new Set(work.tracked.keys()),
    exclude,
  })
  await aside.take(options.kind, obstacles, () => {})
  await lock.run(['read-tree', '-m', '-i', staged.old])
  const input = back.map((name) => `${name}\0`).join('')
  if (back.length > 0) await lock.run(['checkout-index', '-f', '-q', '-u', '-z', '--stdin'], { input, env: withoutLfs })
  context.step('files rolled back')
}
