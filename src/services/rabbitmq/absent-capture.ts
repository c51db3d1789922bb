import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture } from '../service-driver.ts'
import type { Link } from './link.ts'
import { absentRecord } from './record.ts'

/** A capture of a vhost that is not there. */
export class AbsentCapture implements Capture {
  readonly #link: Link
  readonly #name: string

  constructor(link: Link, name: string) {
    this.#link = link
    this.#name = name
  }

  async hold(): Promise<void> {}

  async point(): Promise<void> {
    if (!(await this.#link.openIfThere())) return
    throw new EnvError('busy', `${this.#name}: the vhost was made while it was being captured`, {
      hint: 'run the command again',
    })
  }

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    return absentRecord(this.#name, 'frozen')
  }

  async close(): Promise<void> {
    await this.#link.close()
  }
}
