import { spawn } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export type Measured = {
  readonly seconds: number
  /** Highest sum of the resident memory of the process and all below it, sampled every 10 ms, in bytes. */
  readonly peakBytes: number
  readonly stdout: string
}

/** Runs a command, which must succeed, and measures it with everything it starts. */
export function measure(
  file: string,
  words: readonly string[],
  options: {
    readonly cwd: string
    readonly env?: Record<string, string>
    /** Told of each line on standard error as it comes. */
    readonly onLine?: (line: string) => void
  },
): Promise<Measured> {
  const started = performance.now()
  const child = spawn(file, [...words], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr, pending, peakBytes] = ['', '', '', 0]
  child.stdout.on('data', (part: Buffer) => {
    stdout += part.toString()
  })
  child.stderr.on('data', (part: Buffer) => {
    const lines = (pending + part.toString()).split('\n')
    pending = lines.pop()!
    for (const line of lines) options.onLine?.(line)
    stderr += part.toString()
  })
  const sampler = setInterval(() => {
    peakBytes = Math.max(peakBytes, treeBytes(child.pid!))
  }, 10)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => {
      clearInterval(sampler)
      const seconds = (performance.now() - started) / 1000
      if (status === 0) resolve({ seconds, peakBytes, stdout })
      else reject(new Error(`${file} ${words.join(' ')}: status ${status}\n${stdout}${stderr}`))
    })
  })
}

/** Resident memory of a process and its descendants. Pages that they share are counted for each: the true sum is lower. */
function treeBytes(pid: number): number {
  let bytes = 0
  const pending = [pid]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    try {
      const status = readFileSync(`/proc/${next}/status`, 'latin1')
      bytes += Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
      for (const task of readdirSync(`/proc/${next}/task`)) {
        const children = readFileSync(`/proc/${next}/task/${task}/children`, 'latin1')
        pending.push(...children.split(' ').filter(Boolean).map(Number))
      }
    } catch {
      // It ended between two looks.
    }
  }
  return bytes
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

/** Bytes of all files below a folder. */
export function folderBytes(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += lstatSync(path.join(entry.parentPath, entry.name)).size
  }
  return bytes
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, head.map(() => '---'), ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  return all.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`).join('\n')
}
