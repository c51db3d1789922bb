import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import path from 'node:path'
import { type Duplex, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openTunnel } from '../../src/services/connection/tunnel.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const { signal } = new AbortController()

/** Sends back what it gets; tells when a connection ended. */
async function startEcho(where: { socketPath: string } | { port: 0; host: string }) {
  const sockets = new Set<Socket>()
  const ended: Promise<void>[] = []
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    ended.push(new Promise((resolve) => socket.on('close', () => resolve())))
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen('socketPath' in where ? where.socketPath : where, () => resolve()))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : 0, ended }
}

/** A command prefix that finds only this tool, and what a shell needs; its words are joined and read again by a shell, as ssh does. */
async function prefixWith(tool: string): Promise<string[]> {
  const directory = await temporaryDirectory()
  const bin = path.join(directory, 'bin')
  mkdirSync(bin)
  for (const name of ['sh', 'cat', tool]) {
    const found = ['/bin', '/usr/bin', '/usr/local/bin'].map((folder) => path.join(folder, name))
    const { existsSync } = await import('node:fs')
    symlinkSync(found.find(existsSync) ?? '/nowhere', path.join(bin, name))
  }
  const script = path.join(directory, 'remote')
  writeFileSync(script, `#!/bin/sh\nPATH=${bin}\nexport PATH\neval "$*"\n`)
  chmodSync(script, 0o755)
  return [script]
}

async function echoes(tunnel: Duplex, bytes: Buffer): Promise<boolean> {
  const parts: Buffer[] = []
  let length = 0
  const back = new Promise<Buffer>((resolve, reject) => {
    tunnel.on('error', reject)
    tunnel.on('data', (part: Buffer) => {
      parts.push(part)
      length += part.length
      if (length >= bytes.length) resolve(Buffer.concat(parts))
    })
  })
  Readable.from([bytes]).pipe(tunnel, { end: false })
  return (await back).equals(bytes)
}

const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff))

describe.each(['perl', 'python3', 'bash'])('a tunnel by %s', (tool) => {
  test('carries every byte both ways, and ends the connection when it ends', async () => {
    const echo = await startEcho({ port: 0, host: '127.0.0.1' })
    const tunnel = await openTunnel(await prefixWith(tool), { host: '127.0.0.1', port: echo.port }, signal)
    expect(await echoes(tunnel, bytes)).toBe(true)
    tunnel.destroy()
    await echo.ended[0]
  })

  test('says why there is no way', async () => {
    const closed = openTunnel(await prefixWith(tool), { host: '127.0.0.1', port: 1 }, signal)
    await expect(closed).rejects.toThrow(/no way through .*127\.0\.0\.1/)
  })
})

test.each(['perl', 'python3'])('a tunnel by %s reaches a socket file', async (tool) => {
  const socketPath = path.join(await temporaryDirectory(), "it's a socket")
  await startEcho({ socketPath })
  const tunnel = await openTunnel(await prefixWith(tool), { socketPath }, signal)
  expect(await echoes(tunnel, Buffer.from('hello'))).toBe(true)
  tunnel.destroy()
})

test('the end of the connection is the end of the stream', async () => {
  const server = createServer((socket) => socket.end('good bye'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const tunnel = await openTunnel(await prefixWith('perl'), { host: '127.0.0.1', port }, signal)
  expect((await buffer(tunnel)).toString()).toBe('good bye')
})

test('a prefix that leads nowhere is named with what it said', async () => {
  const there = { host: '127.0.0.1', port: 1 }
  await expect(openTunnel(['/nowhere/at-all'], there, signal)).rejects.toThrow('no way through /nowhere/at-all')
  await expect(openTunnel(['sh', '-c', 'echo no such container >&2; exit 1'], there, signal)).rejects.toThrow(
    'no way through sh -c echo no such container >&2; exit 1: no such container',
  )
  await expect(openTunnel(['echo', 'welcome to'], there, signal)).rejects.toThrow('it answered "welcome to sh"')
})
