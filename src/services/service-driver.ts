import type { GenericSchema, InferOutput } from 'valibot'
import type { Json } from '../domain/canonical-json.ts'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { Presence, ServiceRecord } from '../domain/manifest.ts'
import type { Staged, Swap, SwapWay } from '../domain/swap.ts'
import type { Trace } from '../system/trace.ts'

/**
 * A service driver captures and restores one kind of state. A new driver is one file in this folder, named after the type that the
 * configuration gives (`type: sqlite` → sqlite.ts, default export); larger ones keep their parts in a folder of the same name.
 * The contract suite (test/contract/service-driver.ts) holds every driver to the laws below.
 *
 * Laws:
 * - A driver MUST touch exactly what its configuration names, and drop only what it made itself.
 * - What `capture` gives MUST be canonical: unchanged data gives byte-identical streams.
 * - A capture MUST be the state at `point`, or name what is not in `live`.
 * - After `release`, or when the process dies in any way, no writer may be left waiting.
 * - Nothing before `Swap.forward` may change the live data.
 * - `forward`, `back`, `discard` MUST be idempotent and judge by looking at the target, not by memory: they run again in another process after a crash.
 * - No write that a writer was told is done before the swap may be lost: it is in what `before` gives.
 */
export interface ServiceDriver<Schema extends GenericSchema = GenericSchema> {
  readonly type: string
  readonly kind: 'service' | 'mount'
  /** The keys that the configuration may hold for this type (a valibot strictObject; `type` itself is checked before). */
  readonly schema: Schema
  /** What of this type the project seems to have, for `git env init`. Reads only. */
  detect(project: Project): Promise<readonly Detected[]>
  /** Does not connect, and does not fail when nothing is there. Wrong configuration is refused here (`usage` or `refused`). */
  open(config: InferOutput<Schema>, context: ServiceContext): Promise<Service>
  /**
   * Writes a stored record as files that people and the service's own tools read, into an empty folder.
   * Says which file (path below the folder; the folder itself, `.`, for a tree) holds each stream's bytes.
   */
  export(record: ServiceRecord, source: ContentSource, directory: string): Promise<readonly Exported[]>
  /**
   * The record as another environment gets it: without what applications do once and not again, such as messages that wait in a queue, whose mails
   * would be sent twice. `leaves` says what that is, for people (`50,000 messages`). undefined when there is nothing of the kind; a driver that never has
   * any leaves this method out. Looks at the record alone.
   */
  forCopy?(record: ServiceRecord): { readonly record: ServiceRecord; readonly leaves: string } | undefined
}

export type Project = {
  readonly directory: string
  /** Paths that git tracks, relative to the directory, `/` between. */
  readonly tracked: ReadonlySet<string>
  /** The environment of this process. */
  readonly variables?: Readonly<Record<string, string | undefined>>
}

export type Detected = {
  /** A proposed name, `[a-z][a-z0-9-]*`. */
  readonly name: string
  readonly config: Readonly<Record<string, Json>>
  /** Why it is proposed: shown beside it as a comment. */
  readonly reason: string
  /** What some `${NAME}` in `config` stand for, as files of the project have it: goes into the local file, never into the configuration. */
  readonly secrets?: Readonly<Record<string, string>>
}

/** What a project's files name beside what drivers detect. */
export type Survey = {
  /** Services that cannot be proposed: of a type without a driver, or for what `lacks` says. */
  readonly seen: readonly {
    readonly type: string
    readonly name: string
    /** `file:line`. */
    readonly source: string
    readonly lacks?: string
  }[]
  /** Files that were passed over, and why. */
  readonly notes: readonly string[]
}

export type ServiceContext = {
  readonly name: string
  /** What `{env}` stands for: slug and hash of the branch. */
  readonly environmentKey: string
  /** The name of its data in this environment, where the configuration's `env:` gives one: it takes the place of the whole pattern. */
  readonly nameHere: string | undefined
  /** What `${NAME}` stands for: from the process's environment, else from the project's local file. Often a secret. */
  readonly variable: (name: string) => string | undefined
  /** What commands that the configuration names run with. */
  readonly commands: CommandSurroundings
  /** The work tree's top folder, absolute, real path. */
  readonly projectDirectory: string
  /** The Git common dir and the store: no mount may lie in one of them. */
  readonly forbidden: readonly string[]
  /** A folder of this service alone that outlives the command: caches, staging, set-asides. Made when needed. */
  readonly privateDirectory: string
  /** Whether `git env allow` was given: paths outside the project, commands, other hosts. */
  readonly allowed: boolean
  /** Absolute paths, as byte strings (see tree.ts), of what lies inside a mount and is not the mount's: tracked files, SQLite databases with their companions. */
  readonly foreign: ReadonlySet<string>
  readonly trace: Trace
  readonly signal: AbortSignal
}

export type CommandSurroundings = {
  /** The process's own environment, and what the local file adds. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Values from the local file: none of them is ever shown. */
  readonly secrets: readonly string[]
}

export type Probe = {
  readonly presence: Presence
  /** One line for people: what was found (`SQLite 3.45, WAL, 3 tables`). */
  readonly summary: string
  /** Plain bytes of the data, as far as that is cheap to tell. */
  readonly bytes: number
  readonly versions: Readonly<Record<string, string>>
  /** The consistency that a capture can reach, and what would give more. */
  readonly rung: string
  /** The command or statement that gives the next rung or mends what is missing, for `doctor`. */
  readonly advice?: string
  /** What a restore does to this service: `rename` takes milliseconds, `in place` up to seconds; `ahead` any time, and no writer waits for it. */
  readonly swap: SwapWay
  /** What will not be captured or restored exactly, and other things that `doctor` shows. */
  readonly warnings: readonly string[]
}

export interface Service {
  readonly name: string
  readonly driver: ServiceDriver
  /** Real paths of what this service owns, for locks and for keeping mounts away from them; none where it lies in a server. */
  readonly resources: readonly string[]
  /** Where its data is, for people: paths, or a database on a server. Never a secret. */
  readonly place: string
  /**
   * Where the data lies in a server: keeps every other git-env away from it, also those of other clones and machines, until `release` or the end of
   * this process. Throws `busy` naming who has it. Services of paths leave this out.
   */
  reserve?(): Promise<Reservation>
  /** Which environment's data is there, as it was last written beside it, in the server, where applications and dump tools do not see it. */
  marker?(): Promise<Marker | undefined>
  setMarker?(marker: Marker): Promise<void>
  probe(): Promise<Probe>
  /**
   * Prepares a capture: connects, and may read ahead into the sink. Writers go on.
   * `damage: 'keep'` (safety snapshots) takes what is damaged as its raw files; `refuse` throws `damaged`.
   */
  capture(sink: ContentSink, options: CaptureOptions): Promise<Capture>
  /**
   * Puts beside the live data all that a swap needs, durable and compared with the target, and describes it as plain data for the journal.
   * `live` is the safety snapshot's record of what is there: only what differs need be staged.
   */
  stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged>
  /**
   * The swap of something staged, in this process or, after a crash, in another. `source` gives what turns out to be needed after staging:
   * the target's content of what a writer has changed since.
   */
  swap(staged: Staged, source?: ContentSource): ServiceSwap
  /** Drops what a staging that was cut short left behind for the restore `id`; nothing when there is nothing. */
  sweep(id: string): Promise<void>
  /** What people should know of what was done with it until now, although it is done: a command that did not work, say. */
  warnings?(): readonly string[]
  close(): Promise<void>
}

export type Marker = {
  /** Full ref of the environment whose data is loaded. */
  readonly ref: string
  /** Id of the restore that is about to change it. */
  readonly restoring?: string
}

export type Reservation = { release(): Promise<void> }

export type CaptureOptions = {
  readonly damage: 'keep' | 'refuse'
  /** Take no part in the common point. */
  readonly live: boolean
  readonly progress: (bytes: number) => void
}

/** One capture, in this order: stop, hold, point, release, start, copy, close. `close` may come at any time, releases and starts. */
export interface Capture {
  /**
   * Where making writers wait takes seconds: stops the service. Called before any other is held, so that nobody else waits for it; left out, the
   * capture is `live`. From here on it is started again whatever happens, also when this process dies in any way.
   */
  stop?(): Promise<void>
  /** After `release`: reads what must be read while nobody writes, and starts the service again. */
  start?(): Promise<void>
  /**
   * One attempt to make writers wait: within the limit, a few times 10 ms, or throws `busy` naming who is in the way. After it has thrown nobody
   * waits, and it can be called again: whoever calls tries again with growing pauses.
   */
  hold(limitMs: number): Promise<void>
  /** Takes the point. Called while all services of the environment are held. */
  point(): Promise<void>
  release(): Promise<void>
  /** Writes the streams into the sink and gives the record. Level is `frozen` where the point was taken inside the hold. */
  copy(): Promise<ServiceRecord>
  close(): Promise<void>
}

export type Exported = { readonly stream: string; readonly path: string }

export type StageOptions = {
  readonly source: ContentSource
  /** Only these: tables of a database, paths below a mount (`a/b` stands for the folder with all in it). Others stay as they are. */
  readonly only?: readonly string[]
  /** Names the restore; files that git-env makes carry it. */
  readonly id: string
  readonly progress: (bytes: number) => void
}

/** The swap of one service or mount; see the laws in ../domain/swap.ts. */
export interface ServiceSwap extends Swap {
  /** State `after`: the data as it was right before the swap, stored; `safety` is the record taken before staging. */
  before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord>
}
