import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChannelModel, connect } from 'amqplib'
import { findProgram } from './install.ts'

/** A RabbitMQ of this test process alone: own folders, own node name, own ports of the loopback interface, and an epmd of its own. */
export type RabbitmqServer = {
  readonly port: number
  readonly managementPort: number
  /** The management interface, as the administrator `guest`; undefined for what is not there. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
  url(vhost: string, user?: string, password?: string): string
  /** The caller closes it. */
  connect(vhost: string): Promise<ChannelModel>
  /** What the broker has used of processors since it was started, in seconds. */
  cpuSeconds(): number
  /** Ends the broker as a crash does, and starts it again. */
  crash(): Promise<void>
  stop(): Promise<void>
}

/** The broker and its epmd end when standard input of this shell does: also when we are killed. */
const keeping =
  '"$@" </dev/null >"$0/out" 2>&1 & shell=$!; cat >/dev/null; pid=$(cat "$0/pid" 2>/dev/null); [ -n "$pid" ] && kill -KILL $pid; kill -KILL $shell 2>/dev/null; wait $shell; n=0; until "$EPMD" -kill >/dev/null 2>&1 || [ $n -ge 50 ]; do n=$((n + 1)); sleep 0.1; done; rm -rf "$0"'

let shared: Promise<RabbitmqServer> | undefined

/** The one broker of this process; it ends with it. */
export function sharedRabbitmq(): Promise<RabbitmqServer> {
  shared ??= startRabbitmq()
  return shared
}

export async function startRabbitmq(place = tmpdir(), plugins = ['rabbitmq_management']): Promise<RabbitmqServer> {
  findProgram('rabbitmq-server', 'rabbitmq-server')
  const folder = realpathSync(mkdtempSync(path.join(place, 'git-env-rabbitmq-')))
  const [port, managementPort, distribution, epmd] = await freePorts(4)
  for (const name of ['home', 'mnesia', 'log', 'generated']) mkdirSync(path.join(folder, name))
  writeFileSync(path.join(folder, 'plugins'), `[${plugins.join(',')}].\n`)
  const settings = [
    `management.tcp.port = ${managementPort}`,
    'management.tcp.ip = 127.0.0.1',
    'loopback_users = none',
    'disk_free_limit.absolute = 50MB',
    'collect_statistics_interval = 1000',
  ]
  writeFileSync(
    path.join(folder, 'rabbitmq.conf'),
    plugins.length > 0 ? `${settings.join('\n')}\n` : 'loopback_users = none\n',
  )
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    HOME: path.join(folder, 'home'),
    RABBITMQ_NODENAME: `git-env-${port}@localhost`,
    RABBITMQ_MNESIA_BASE: path.join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: path.join(folder, 'log'),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_CONFIG_FILE: path.join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: path.join(folder, 'advanced.config'),
    RABBITMQ_GENERATED_CONFIG_DIR: path.join(folder, 'generated'),
    RABBITMQ_ENABLED_PLUGINS_FILE: path.join(folder, 'plugins'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_PID_FILE: path.join(folder, 'pid'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    ERL_EPMD_PORT: String(epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    EPMD: findProgram('epmd', 'rabbitmq-server'),
  }
  const keeper = start()
  await ready()
  function start() {
    const words = ['-c', keeping, folder, serverScript()]
    const child = spawn('sh', words, { env, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/', detached: true })
    child.unref()
    ;(child.stdin as unknown as { unref(): void }).unref()
    return child
  }
  async function ready() {
    for (const deadline = Date.now() + 90_000; ; await sleep(100)) {
      try {
        if (plugins.length > 0) await api('GET', 'overview')
        await (await connectTo('/')).close()
        return
      } catch (cause) {
        if (Date.now() > deadline) throw new Error(`RabbitMQ does not start; see ${folder}/out`, { cause })
      }
    }
  }
  async function end(child: typeof keeper) {
    child.ref()
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.stdin.end()
    await ended
  }
  async function api(method: string, to: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${managementPort}/api/${to}`, {
      method,
      headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (answer.status === 404 || text.includes('vhost_not_found')) return undefined
    if (!answer.ok) throw new Error(`${method} ${to}: ${answer.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }
  function url(vhost: string, user = 'guest', password = 'guest') {
    return `amqp://${[user, password].map(encodeURIComponent).join(':')}@127.0.0.1:${port}/${encodeURIComponent(vhost)}`
  }
  async function connectTo(vhost: string) {
    const connection = await connect(url(vhost))
    connection.on('error', () => {})
    return connection
  }
  return {
    port: port!,
    managementPort: managementPort!,
    api,
    url,
    connect: connectTo,
    cpuSeconds: () => {
      const pid = readFileSync(path.join(folder, 'pid'), 'utf8').trim()
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    crash: async () => {
      // The keeper ends what runs under the process id that is then in the file.
      const pid = Number(execFileSync('cat', [path.join(folder, 'pid')]).toString())
      process.kill(pid, 'SIGKILL')
      await sleep(300)
      const second = spawn('sh', ['-c', '"$0" </dev/null >>"$1/out" 2>&1 & :', serverScript(), folder], {
        env,
        stdio: 'ignore',
        cwd: '/',
        detached: true,
      })
      second.unref()
      await ready()
    },
    stop: () => end(keeper),
  }
}

/** The program itself: what is in /usr/sbin would change the user and read the system's own settings. */
function serverScript(): string {
  const root = '/usr/lib/rabbitmq/lib'
  const version = readdirSync(root).find((name) => name.startsWith('rabbitmq_server-'))
  if (version === undefined) throw new Error(`no rabbitmq_server in ${root}`)
  return path.join(root, version, 'sbin', 'rabbitmq-server')
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
