import type { GitRepository } from '../git/git-repository.ts'
import type { Project, ServiceDriver, Survey } from '../services/service-driver.ts'
import type { ManifestList, Store } from '../store/store.ts'
import type { Trace } from '../system/trace.ts'

/** All that use cases need from outside; wiring.ts fills it in. */
export type Ports = {
  readonly version: string
  /** Of this process: what `${NAME}` in a configuration stands for. */
  readonly variables: Readonly<Record<string, string | undefined>>
  now(): Date
  /** A new lower-case ULID, greater than every one that this process made before. */
  newId(): string
  /** `signal`: another than the command's, for what its end must not cut short. */
  openGit(directory: string, signal?: AbortSignal): Promise<GitRepository>
  readonly driverTypes: readonly string[]
  loadDriver(type: string): Promise<ServiceDriver>
  /** What the project's files name beside what the drivers of these types detect. */
  surveyServices(project: Project, driverTypes: readonly string[]): Promise<Survey>
  /** Throws `not-found` or `refused` when the store is absent or another one than `id`; undefined: any. */
  openStore(location: string, id: string | undefined): Promise<Store>
  /** The same for who only asks which manifests are there. */
  openManifestList(location: string, id: string | undefined): Promise<ManifestList>
  createStore(location: string, id: string): Promise<Store>
  /** Starts the process that carries out the swap of a journal, detached from this one. */
  startGuard(options: { readonly journal: string; readonly directory: string }): Guard
  readonly trace: Trace
  readonly signal: AbortSignal
  readonly progress: Progress
}

export interface Guard {
  readonly pid: number
  /** Lets it begin: the lock names it by now. Without this it ends with the process that started it. */
  go(): void
  /** Asks it to give up, which it does unless the swap has begun. */
  cancel(): void
  /** Ends with the guard: its last message, or undefined when it died without one. */
  readonly ended: Promise<GuardMessage | undefined>
}

/** What the guard says last, as one line of JSON. */
export type GuardMessage =
  | { readonly done: true; readonly heldMicros: number; readonly before: string; readonly warnings: readonly string[] }
  | { readonly done: false; readonly error: SerializedError }

export type SerializedError = {
  readonly code: string
  readonly message: string
  readonly hint?: string
  readonly cause?: string
}

/** Told what goes on; a terminal shows it, others may ignore it. */
export interface Progress {
  /** A phase begins; the one before is over. `totalBytes` where it is known. */
  phase(name: string, totalBytes?: number): void
  advance(bytes: number): void
  /** Something the user should know that is no error. */
  warn(text: string): void
  end(): void
}
