import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'

export type Cuttable = {
  /** Where it listens: a socket of the same name as the server's, in a folder of its own. */
  readonly socketPath: string
  readonly folder: string
  /** Cuts every connection that there is; new ones are let through. */
  cut(): void
}

/** A way to a server's socket on which connections can be cut, as a network does. */
export async function cuttable(target: string): Promise<Cuttable> {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-env-cut-')))
  const socketPath = path.join(folder, path.basename(target))
  const open = new Set<Socket>()
  const server = createServer((client) => {
    const far = connect(target)
    for (const [one, other] of [
      [client, far],
      [far, client],
    ] as const) {
      open.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  }).listen(socketPath)
  await once(server, 'listening')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  onTestFinished(() => {
    cut()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { socketPath, folder, cut }
}
