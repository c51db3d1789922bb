#!/usr/bin/env node
// The launcher. Plain JavaScript that any Node can read: an older one must be able to say what is needed.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const needed = [22, 18]
const here = fileURLToPath(import.meta.url)
const [major, minor] = process.versions.node.split('.').map(Number)

if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  await start()
} else {
  startWithBundledNode()
}

async function start() {
  const { enableCompileCache, getCompileCacheDir } = await import('node:module')
  const { setFlagsFromString } = await import('node:v8')
  enableCompileCache()
  // Data passes through in buffers, which are garbage soon; by itself V8 looks through the whole heap for every ten megabytes of them.
  setFlagsFromString('--heap-growing-percent=200')
  // The processes that this one starts find the same compiled modules: their start takes a third of the time.
  process.env.NODE_COMPILE_CACHE ??= getCompileCacheDir() ?? ''
  // A checkout runs its source, so that it is never behind it; an installed package has only what was built.
  const source = new URL('../src/main.ts', import.meta.url)
  const { main } = await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href)
  process.exitCode = await main(process.argv.slice(2), here)
}

function startWithBundledNode() {
  const bundled = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (!existsSync(bundled)) {
    process.stderr.write(
      `error: git-env needs Node ${needed.join('.')} or newer, and this is Node ${process.versions.node}\n`,
    )
    process.stderr.write('hint: install a current Node, or run npm ci in the git-env folder, which brings one along\n')
    process.exit(2)
  }
  const child = spawn(bundled, [here, ...process.argv.slice(2)], { stdio: 'inherit' })
  // Ctrl-C at a terminal reaches the child too: it decides, and this process reports how it ended.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('close', (status, signal) => {
    process.exitCode = status ?? 128 + (signal === 'SIGKILL' ? 9 : 15)
  })
}
