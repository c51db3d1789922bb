import { test } from 'vitest'
import { crashEverywhere } from '../support/crash.ts'

test(
  'SIGKILL of the command at any step of a restore or undo leaves the state before or the state after',
  { timeout: 900_000 },
  () => crashEverywhere('GIT_ENV_KILL_AT'),
)
