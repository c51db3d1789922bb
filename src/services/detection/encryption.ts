import type { ServiceType } from './found.ts'

/** How clients of a service encrypt what they send, as the driver's url has it. */
export type Encryption = {
  /** The url's scheme says it: `rediss`, `amqps`, `https`. */
  readonly secure?: boolean
  /** Parameters of the url. */
  readonly parameters?: Readonly<Record<string, string>>
}

/** Schemes that say so by their last letter; the last two stand for `https`. */
const secureScheme = /^(rediss|valkeys|amqps|opensearchs|elasticsearchs)$/

const required = /^(required?|true|1|accept_invalid_certs)$/i
const verified = /^(verify[-_](ca|identity|full)|strict)$/i

/** From a url, or another file's settings, as frameworks write them: `ssl-mode`, `sslmode`, `sslaccept`, `ssl_ca`. */
export function readEncryption(
  type: ServiceType,
  scheme: string,
  parameter: (name: string) => string | undefined,
): Encryption {
  if (secureScheme.test(scheme)) return { secure: true }
  const one = (...names: string[]) => names.map(parameter).find((value) => value !== undefined)
  if (type === 'postgres') {
    const mode = one('sslmode')
    return mode !== undefined && /^[a-z-]+$/.test(mode) ? { parameters: { sslmode: mode } } : {}
  }
  if (type !== 'mariadb' && type !== 'mysql') return {}
  const mode = one('ssl', 'ssl-mode', 'ssl_mode', 'sslmode', 'sslMode', 'sslaccept') ?? ''
  const authority = one('sslCa', 'sslca', 'ssl-ca', 'ssl_ca')
  const ssl = verified.test(mode) || mode === 'verify' ? 'verify' : required.test(mode) ? 'required' : undefined
  const parameters = {
    ...(ssl === undefined ? {} : { ssl }),
    ...(authority?.startsWith('/') ? { sslCa: authority } : {}),
  }
  return Object.keys(parameters).length === 0 ? {} : { parameters }
}
