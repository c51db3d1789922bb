import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { benchEdits } from './edits.ts'
import { benchFreeze } from './freeze.ts'
import { benchLog } from './log.ts'
import { benchMariadb } from './mariadb.ts'
import { benchPostgres } from './postgres.ts'
import { benchRabbitmq } from './rabbitmq.ts'
import { benchRedis } from './redis.ts'
import { benchSnapshot } from './snapshot.ts'

/** `npm run bench [snapshot|edits|log|mariadb|postgres|redis|rabbitmq|freeze]…`: prints tables. Absolute times mean little; the ratios are taken side by side in one run. */
const benches = {
  snapshot: benchSnapshot,
  edits: benchEdits,
  log: benchLog,
  mariadb: benchMariadb,
  postgres: benchPostgres,
  redis: benchRedis,
  rabbitmq: benchRabbitmq,
  freeze: benchFreeze,
}

const chosen = process.argv.slice(2)
for (const [name, bench] of Object.entries(benches)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  const directory = mkdtempSync(path.join(tmpdir(), 'git-env-bench-'))
  try {
    await bench(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
