import type { ServiceContext } from '../../src/services/service-driver.ts'

/**
 * What the contract suite needs to know of a driver, in test/samples/<type>.ts as the export `sample`.
 * Everything it makes is private to the running test and gone when that ends.
 */
export type DriverSample = {
  readonly type: string
  /** Live data in a new private place, filled, with odd values among it. */
  create(): Promise<LiveSample>
}

export type LiveSample = {
  /** As the configuration file would say it, without `type`. */
  readonly config: Readonly<Record<string, unknown>>
  /** A real path; the service lies in it or beside it, and `strangers` looks after the rest. */
  readonly projectDirectory: string
  readonly context?: Partial<ServiceContext>
  /** Adds, changes and removes some of the data; another `seed` makes other data. */
  change(seed: number): Promise<void>
  /** By the service's own means, equal when and only when the data is equal; also when it is absent or damaged (raw bytes then). */
  fingerprint(): Promise<string>
  /** A digest of what lies beside the service and must never be touched. */
  strangers(): Promise<string>
  /** Makes the data absent, as someone would who removes it. */
  remove(): Promise<void>
  /** Ways in which the data gets damaged, by name; none where the service cannot be damaged from outside. */
  readonly ruins: Readonly<Record<string, () => Promise<void>>>
  /** A process that writes one numbered thing after the other and says which were acknowledged. Where others can write while we capture. */
  startWriter?(): Promise<SampleWriter>
  /** The numbers a writer wrote that are in the live data now, ascending. */
  written?(): Promise<readonly number[]>
  /** What an export's files hold, in the form that `fingerprint` gives. */
  fingerprintExport?(directory: string, paths: readonly string[]): Promise<string>
}

export type SampleWriter = {
  /** Numbers acknowledged until now, ascending. */
  acknowledged(): readonly number[]
  /** Ends the process; gives what was acknowledged in all. */
  stop(): Promise<readonly number[]>
}
