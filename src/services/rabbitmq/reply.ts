import { EnvError } from '../../domain/errors.ts'
import type { ArgumentReader } from './wire.ts'

export type Login = {
  readonly name: string
  readonly place: string
  readonly user: string
  readonly password: string
  readonly vhost: string
}

/** What the broker says when it closes a connection or a channel. `details.reply` is its number. */
export function replyError({ name, place }: Login, args: ArgumentReader): EnvError {
  const reply = args.short()
  const text = args.shortString()
  const details = { reply }
  const said = `${name}: ${place}: ${text.replace(/^[A-Z_]+ - /, '')}`
  if (reply === 403) {
    const hint =
      'rabbitmqctl set_permissions -p <vhost> <user> ".*" ".*" ".*" grants all in that vhost; or correct user and password'
    return new EnvError('refused', said, { hint, details })
  }
  if (reply === 405) return new EnvError('busy', said, { details })
  if (reply === 530 || reply === 404) return new EnvError('not-found', said, { details })
  return new EnvError('unavailable', said, { hint: "the broker's log may say more", details })
}

export function replyOf(error: unknown): unknown {
  return error instanceof EnvError ? error.details?.['reply'] : undefined
}
