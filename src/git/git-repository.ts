import type { CodeRecord, Trigger } from '../domain/manifest.ts'
import type { Staged, Swap } from '../domain/swap.ts'
import type { Trace } from '../system/trace.ts'

/**
 * The port to Git. `ref` is always a full ref name (`refs/heads/main`), `commit` a full object id.
 * The recipes behind it change no ref but by one compare-and-swap transaction and never rewrite history.
 */
export interface GitRepository {
  /** The work tree's top folder as a real path; undefined in a bare repository. */
  readonly topLevel: string | undefined
  /** This work tree's own Git folder, absolute. */
  readonly gitDirectory: string
  /** The Git folder that all work trees share, absolute. */
  readonly commonDirectory: string

  head(): Promise<Head>
  /** All branches with the work trees they are checked out in, ordered by name. */
  branches(): Promise<readonly Branch[]>
  /** undefined when the revision names no commit. */
  commit(revision: string): Promise<CommitInfo | undefined>
  /** What forbids to move a branch: `a rebase`, `a bisect`, `a merge`, …; undefined when nothing does. Looks into every work tree. */
  operationInProgress(ref: string | undefined): Promise<string | undefined>
  /** Paths in the index, relative to the top level, as byte strings. */
  trackedPaths(): Promise<ReadonlySet<string>>
  /** Whether git ignores this path. */
  isIgnored(path: string): Promise<boolean>

  // Snapshots
  /** Appends (`branch`) or only references (`side`) the snapshot commit, with its ref, in one transaction. Gives the commit. Retries when the branch moved. */
  record(snapshot: NewSnapshot): Promise<string>
  /** Snapshots by their refs, newest first. */
  snapshots(options?: { readonly limit?: number }): Promise<readonly SnapshotCommit[]>
  /** One snapshot by its full id: by ref, else in all history (then its ref is made again). */
  snapshot(id: string): Promise<SnapshotCommit | undefined>
  /** The snapshot that a revision's commit carries. */
  snapshotAt(revision: string): Promise<SnapshotCommit | undefined>
  /** Makes the refs of all valid snapshot commits in history. `skip`: ids that stay without, since their data has expired. */
  reindex(options?: { readonly skip?: ReadonlySet<string> }): Promise<{
    readonly created: readonly string[]
    readonly known: number
    readonly mentions: readonly string[]
  }>
  /** History of a ref, newest first. */
  log(options: LogOptions): Promise<readonly LogEntry[]>
  /** The same history as lines of `git log --graph`: what git draws, and the entry of those lines that hold a commit. */
  graph(options: LogOptions): Promise<readonly GraphLine[]>
  /** The bytes of a file in a commit; undefined when it has none of that name. */
  readFile(commit: string, path: string): Promise<Uint8Array | undefined>
  /** A date as git reads it: `yesterday`, `2026-11-20 14:00`, `3 days ago`. */
  date(text: string): Promise<Date>
  /** Files that differ between two commits' trees, without renames. */
  diffStat(from: string, to: string): Promise<DiffStat>

  // The code's part of a restore
  code: WorkingCode
}

export type Head = {
  /** undefined when detached. */
  readonly ref: string | undefined
  /** undefined when unborn. */
  readonly commit: string | undefined
  readonly tree: string | undefined
}

export type Branch = {
  readonly ref: string
  readonly name: string
  readonly commit: string
  readonly subject: string
  readonly committedAt: Date
  readonly worktree: string | undefined
}

export type CommitInfo = {
  readonly commit: string
  readonly tree: string
  readonly parents: readonly string[]
  readonly committedAt: Date
}

export type NewSnapshot = {
  readonly id: string
  /** Branch to append to, or whose tip (or `parent`) becomes the parent of a side commit; undefined: HEAD, detached. */
  readonly ref: string | undefined
  readonly placement: 'branch' | 'side'
  /** The commit that the data belongs to. If the branch has moved on since: `side` uses it as parent all the same, `branch` throws `refused`. */
  readonly parent: string
  /** Canonical text: subject, blank line, body, blank line, trailers, one final newline. */
  readonly message: string
  /** A further ref to make in the same transaction: `refs/env/changes/<id>`. */
  readonly changes?: string
}

export type SnapshotCommit = {
  readonly id: string
  readonly commit: string
  readonly parent: string
  readonly tree: string
  readonly environment: string
  readonly name: string | undefined
  /** Subject without `snapshot: `. */
  readonly message: string
  readonly trigger: Trigger
  readonly manifest: string
  /** `Snapshot-Code`: where the data was taken, also for a rebased copy. */
  readonly code: string
  readonly partial: boolean
  readonly createdAt: Date
  readonly expiresAt: Date | undefined
  readonly changes: string | undefined
}

export type LogOptions = {
  /** A revision to start at. */
  readonly from: string
  readonly limit?: number
  /** Also the side snapshots. */
  readonly environment?: string
}

export type LogEntry = {
  readonly commit: string
  readonly parents: readonly string[]
  readonly author: string
  readonly committedAt: Date
  readonly subject: string
  readonly refs: readonly string[]
  readonly snapshot: SnapshotCommit | undefined
  /** Id of the snapshot that this commit restored. */
  readonly restored: string | undefined
}

export type GraphLine = { readonly prefix: string; readonly entry: LogEntry | undefined }

export type DiffStat = { readonly added: number; readonly changed: number; readonly removed: number }

export type CodeStatus = {
  /** Tracked paths whose content, mode or presence differs from HEAD in index or work tree. */
  readonly changed: readonly string[]
  /** Untracked and not ignored. */
  readonly untracked: readonly string[]
}

/** Uncommitted and untracked code of a work tree. Paths are byte strings relative to the top level. */
export interface WorkingCode {
  status(options: { readonly exclude: ReadonlySet<string> }): Promise<CodeStatus>
  /**
   * Keeps what is not committed, byte for byte (no filters), as a commit that `refs/env/changes/<id>` will name:
   * tree = work tree, first parent = HEAD, second = a commit of the index. undefined when there is nothing. Touches neither index nor work tree.
   */
  keepChanges(options: {
    readonly exclude: ReadonlySet<string>
  }): Promise<{ readonly commit: string; readonly files: number } | undefined>
  /**
   * Prepares to bring the code to a snapshot: makes the restore commit (same tree as the snapshot's code, parent = HEAD; nothing moved yet),
   * lists what stands in the way, throws `refused` for what forbids it (an operation in progress, a submodule with changes, …).
   */
  stage(options: CodeStageOptions): Promise<Staged>
  swap(staged: Staged, trace: Trace): Promise<CodeSwap>
  /** What a restore would do, in numbers, without doing it. */
  preview(
    target: CodeTarget,
    options: { readonly exclude: ReadonlySet<string> },
  ): Promise<DiffStat & { readonly setAside: number }>
}

export type CodeTarget = {
  /** The commit whose tree the work tree becomes. */
  readonly commit: string
  /** The commit of `refs/env/changes/<id>` to lay over it, unstaged, staged and untracked as they were. */
  readonly changes: string | undefined
}

export type CodeStageOptions = {
  readonly target: CodeTarget
  /** Message of the restore commit. */
  readonly message: string
  /**
   * `append`: a new commit on the branch. `detach`: HEAD leaves the branch. `reset`: the branch moves back (its tip is kept as `refs/env/undo/<id>`).
   * `none`: HEAD is already there in all but name: only the record is appended (`--data-only`).
   */
  readonly mode: 'append' | 'detach' | 'reset' | 'none'
  readonly id: string
  /** For `reset`: the branch to end on, where HEAD is not on it (undo of a `detach`). */
  readonly ref?: string
  /** Paths that belong to mounts and services: never touched. */
  readonly exclude: ReadonlySet<string>
  /** The kept changes that an earlier restore laid over the code: an undo takes the untracked files among them away again. */
  readonly undone?: string
  /** Folder for set-asides, on the work tree's file system where possible. */
  readonly asideDirectory: string
}

export interface CodeSwap extends Swap {
  /** State `after`: the code as it was right before the swap. */
  before(): Promise<CodeRecord>
}
