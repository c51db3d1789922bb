import { EnvError } from '../domain/errors.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { ServiceDriver } from '../services/service-driver.ts'

/** What goes into a service, and what of the snapshot does not, for people (`50,000 messages`). */
export type Copied = { readonly record: ServiceRecord; readonly leaves?: string }

export type CopyOptions = {
  /** It comes from another environment. */
  readonly isCopy: boolean
  /** What must happen only once was asked for all the same. */
  readonly withMessages: boolean
  /** Parts of the service that were named. */
  readonly only: readonly string[] | undefined
}

/** What another environment gets of a record: without what its applications do once, so that nobody's mail is sent twice. */
export function copyOf(driver: ServiceDriver, record: ServiceRecord, options: CopyOptions): Copied {
  const copy = options.isCopy && !options.withMessages ? driver.forCopy?.(record) : undefined
  if (!copy) return { record }
  if (options.only) {
    throw new EnvError(
      'refused',
      `${record.name}: ${copy.leaves} of another environment would be handled a second time`,
      {
        hint: 'give --with-messages to have them all the same',
      },
    )
  }
  return copy
}
