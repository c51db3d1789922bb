import { engineOf, mayBeSame } from './engines.ts'
import { type FoundService, serviceName, type Value } from './found.ts'

/** One service, by all that the project's files say of it. */
export type MergedService = Omit<FoundService, 'role' | 'aliases'>

/** Applications' own configurations of one database, and what runs it. */
type Group = { readonly server: FoundService | undefined; readonly uses: FoundService[] }

/**
 * Puts together what several files say of the same service: what runs it tells type and place, the application's own configuration tells user,
 * password and database. What is on a cloud platform counts only where nothing of its kind is nearer.
 */
export function mergeServices(found: readonly FoundService[]): MergedService[] {
  const servers = found.filter((service) => service.role === 'server')
  const groups: Group[] = []
  for (const use of found.filter((service) => service.role === 'application')) {
    const server = serverOf(use, servers)
    const group = groups.find((other) => other.server === server && belongs(use, other))
    if (group) group.uses.push(use)
    else groups.push({ server, uses: [use] })
  }
  const used = new Set(groups.map((group) => group.server))
  const alone = servers.filter((server) => !used.has(server)).map((server): Group => ({ server, uses: [] }))
  const ordered = found.flatMap((service) =>
    [...groups, ...alone].filter((group) => (group.server ?? group.uses[0]) === service),
  )
  const isNear = (group: Group) => group.server?.elsewhere !== true
  return ordered
    .filter(
      (group) => isNear(group) || !ordered.some((other) => isNear(other) && mayBeSame(typeOf(other), typeOf(group))),
    )
    .map((group) => merge(group, ordered.filter((other) => other.server && other.server === group.server).length > 1))
}

function serverOf(use: FoundService, servers: readonly FoundService[]): FoundService | undefined {
  const possible = servers.filter((server) => mayBeSame(server.type, use.type))
  const host = use.host?.value
  const published = (server: FoundService) =>
    server.run === undefined && !server.elsewhere && server.port === (use.port ?? defaultPort(server))
  return (
    possible.find((server) => host !== undefined && server.aliases?.includes(host)) ??
    possible.find((server) => isHere(host) && use.socketPath === undefined && published(server)) ??
    possible.find((server) => !server.elsewhere && isSame(use.database, server.database)) ??
    (host === undefined && possible.length === 1 ? possible[0] : undefined)
  )
}

/** Whether two configurations mean the same database of the same server. */
function belongs(use: FoundService, group: Group): boolean {
  return group.uses.some((other) => {
    if (!mayBeSame(use.type, other.type)) return false
    const isSameDatabase = isSame(use.database, other.database) || !known(use.database) || !known(other.database)
    if (!isSameDatabase) return false
    if (group.server) return true
    const isSamePort = (use.port ?? defaultPort(other)) === (other.port ?? defaultPort(other))
    return isSamePort && use.socketPath === other.socketPath && place(use) === place(other)
  })
}

function place({ host }: FoundService): string {
  return isHere(host?.value) ? 'here' : (host?.value ?? '')
}

function typeOf({ server, uses }: Group): FoundService['type'] {
  const named = [server, ...uses].flatMap((each) => (each ? [each.type] : []))
  // Applications that only say mysql may talk to MariaDB.
  const exact = named.find((type) => type !== 'sql' && type !== 'mysql') ?? named.find((type) => type === 'mysql')
  return server?.type ?? exact ?? 'sql'
}

function merge({ server, uses }: Group, isOneOfSeveral: boolean): MergedService {
  const login = loginOf({ server, uses })
  const database = uses.find((use) => known(use.database))?.database ?? server?.database
  const address = server && hasPlace(server) ? server : (uses.find(hasPlace) ?? uses[0] ?? server!)
  const first = (server ?? uses[0])!
  return {
    type: typeOf({ server, uses }),
    name: isOneOfSeveral && database?.value ? serviceName(database.value, first.name) : first.name,
    host: normalHost(address.host),
    port: address.port,
    socketPath: address.socketPath,
    run: address.run,
    urlVariable: address.urlVariable,
    encryption: uses.find((use) => use.encryption !== undefined)?.encryption,
    indexPrefix: uses.find((use) => known(use.indexPrefix))?.indexPrefix,
    ...login,
    database,
    source: first.source,
    reason: [...new Set([server, ...uses].flatMap((each) => (each ? [each.reason] : [])))].slice(0, 3).join('; '),
  }
}

/** User and password of one and the same file, an application's before what the server was set up with. */
function loginOf({ server, uses }: Group): Pick<FoundService, 'user' | 'password' | 'authSource'> {
  const all = [...uses, ...(server ? [server] : [])].filter((each) => known(each.user))
  const chosen = all.find((each) => known(each.password)) ?? all[0]
  if (!chosen)
    return { user: undefined, password: uses.find((use) => known(use.password))?.password ?? server?.password }
  return { user: chosen.user, password: chosen.password, authSource: chosen.authSource }
}

function known(value: Value | undefined): boolean {
  return value?.value !== undefined || value?.variable !== undefined
}

function isSame(a: Value | undefined, b: Value | undefined): boolean {
  return a?.value !== undefined && a.value !== '' && a.value === b?.value
}

function hasPlace(service: FoundService): boolean {
  return service.socketPath !== undefined || service.urlVariable !== undefined || known(service.host)
}

function isHere(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|127(\.\d{1,3}){3}|::1|host\.docker\.internal)$/i.test(host)
}

function normalHost(host: Value | undefined): Value | undefined {
  return isHere(host?.value) ? { value: '127.0.0.1' } : host
}

function defaultPort({ type }: FoundService): number | undefined {
  return type === 'sql' ? undefined : engineOf(type).port
}
