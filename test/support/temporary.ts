import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'

/** A new folder (its real path) that is gone when the running test ends. */
export async function temporaryDirectory(prefix = 'git-env-test-'): Promise<string> {
  const directory = await realpath(await mkdtemp(path.join(tmpdir(), prefix)))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}
