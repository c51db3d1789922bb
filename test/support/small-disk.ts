import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { temporaryDirectory } from './temporary.ts'

export type SmallDisk = {
  readonly directory: string
  /** Takes all of its room but so many bytes. */
  fill(butBytes: number): void
  empty(): void
}

/** A file system of its own, mounted where that may be; undefined where it may not. Let go when the running test ends, after `before`. */
export async function smallDisk(size: string, before: () => Promise<void>): Promise<SmallDisk | undefined> {
  const folder = await temporaryDirectory()
  // Servers that run as another user get through.
  chmodSync(folder, 0o755)
  const [image, directory] = [path.join(folder, 'image'), path.join(folder, 'small')]
  execFileSync('truncate', ['-s', size, image])
  execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' })
  execFileSync('mkdir', [directory])
  try {
    execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  chmodSync(directory, 0o777)
  onTestFinished(async () => {
    await before()
    execFileSync('umount', ['-l', directory])
  })
  const ballast = path.join(directory, 'ballast')
  return {
    directory,
    fill: (butBytes) => {
      const free = Number(execFileSync('df', ['--output=avail', '-B1', directory]).toString().split('\n')[1])
      execFileSync('fallocate', ['-l', String(Math.max(1, free - butBytes)), ballast])
    },
    empty: () => void execFileSync('rm', [ballast]),
  }
}
