import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openTunnel } from '../connection/tunnel.ts'
import { type Server, socketFile } from './server.ts'

/** Where programs on this machine find the server: a socket's folder, or a host; `address` where the host's name is only for its certificate. */
export type Entrance = {
  readonly host: string
  readonly address: string | undefined
  readonly port: number
  close(): Promise<void>
}

/**
 * Where there is a command prefix, a private socket of ours leads through it, one tunnel for each connection. With encryption that has to be a
 * port of the loopback interface, since PostgreSQL's programs encrypt nothing over a Unix socket.
 */
export async function openEntrance(server: Server, signal: AbortSignal): Promise<Entrance> {
  const { endpoint, socket, ssl } = server
  const { run } = endpoint
  if (run === undefined) {
    return {
      host: socket?.folder ?? endpoint.host,
      address: undefined,
      port: socket?.port ?? endpoint.port,
      close: async () => {},
    }
  }
  const target = socket ? { socketPath: socketFile(socket) } : { host: endpoint.host, port: endpoint.port }
  const sockets = new Set<Socket>()
  const listener = createServer({ pauseOnConnect: true }, (near) => {
    sockets.add(near)
    near.on('error', () => near.destroy())
    near.on('close', () => sockets.delete(near))
    openTunnel(run, target, signal).then(
      (far) => {
        far.on('error', () => near.destroy())
        far.on('close', () => near.destroy())
        near.on('close', () => far.destroy())
        near.pipe(far).pipe(near)
        near.resume()
      },
      (error: Error) => near.destroy(error),
    )
  })
  const folder = ssl.mode === 'disable' ? await mkdtemp(path.join(tmpdir(), 'git-env-pg-')) : undefined
  if (folder !== undefined) await chmod(folder, 0o700)
  await listen(listener, folder === undefined ? undefined : path.join(folder, '.s.PGSQL.5432'))
  listener.unref()
  const address = listener.address()
  return {
    host: folder ?? endpoint.host,
    address: folder === undefined ? '127.0.0.1' : undefined,
    port: typeof address === 'object' && address ? address.port : 5432,
    close: async () => {
      for (const each of sockets) each.destroy()
      listener.close()
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

function listen(listener: NetServer, socketPath: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject)
    if (socketPath === undefined) listener.listen(0, '127.0.0.1', resolve)
    else listener.listen(socketPath, resolve)
  })
}
