import { DatabaseSync } from 'node:sqlite'

/** Run as a process: `hold <file>` keeps a write transaction open; `crash <file>` is killed inside one that has reached the file. */
const [, , task, file] = process.argv
if (file !== undefined) {
  const database = new DatabaseSync(file, { timeout: 10_000, enableForeignKeyConstraints: false })
  database.exec('PRAGMA cache_size = 2; BEGIN IMMEDIATE')
  if (task === 'hold') {
    database.exec(`INSERT INTO log VALUES ('held')`)
    process.send?.('held')
    setInterval(() => {}, 1000)
  } else {
    database.exec(`UPDATE numbered SET name = name || 'half done'; UPDATE big SET data = randomblob(400000)`)
    process.kill(process.pid, 'SIGKILL')
  }
}
