import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { Project } from './project.ts'
import { type MariadbServer, startMariadb } from './servers/mariadb.ts'

export type MariadbVolume = {
  readonly server: MariadbServer
  /** Stops or starts it, as git-env does. */
  run(word: 'stop' | 'start'): void
  isUp(): boolean
  /** All that mariadb-dump says of the database `shop`. */
  dump(): string
}

/**
 * A private MariaDB server inside a project, its data folder configured as the volume `db`, with a program that stops and starts it. The server
 * is gone when the running test ends, also when that is killed.
 */
export async function addMariadbVolume(project: Project): Promise<MariadbVolume> {
  mkdirSync(project.path('var'))
  const server = await startMariadb({ directory: project.path('var'), settings: ['--innodb-log-file-size=8M'] })
  const program = project.path('server')
  const folder = path.dirname(server.data)
  const quoted = server.words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  writeFileSync(
    program,
    `#!/bin/sh
running() { pid=$(cat '${folder}/pid' 2>/dev/null) && kill -0 "$pid" 2>/dev/null; }
case $1 in
  stop) running && kill "$pid"; while running; do sleep 0.02; done ;;
  start)
    running && exit
    ${quoted} </dev/null >/dev/null 2>&1 &
    pid=$!
    (while kill -0 ${process.pid} && kill -0 $pid; do sleep 1; done; kill -KILL $pid) </dev/null >/dev/null 2>&1 &
    until [ -S '${server.socketPath}' ] && [ -s '${folder}/pid' ]; do kill -0 $pid || { echo 'it does not start' >&2; exit 1; }; sleep 0.02; done ;;
esac
`,
  )
  chmodSync(program, 0o755)
  appendFileSync(project.path('.gitignore'), 'var/\n')
  const file = project.path('.git-env.yaml')
  const service = `{ type: volume, path: ${path.relative(project.directory, server.data)}, stop: [./server, stop], start: [./server, start] }`
  writeFileSync(file, readFileSync(file, 'utf8').replace('services:\n', `services:\n  db: ${service}\n`))
  await project.git('add', '.')
  await project.git('commit', '-qm', 'a volume')
  const run = (word: string) => void execFileSync(program, [word], { stdio: 'ignore' })
  onTestFinished(async () => {
    run('stop')
    server.stop()
    await server.ended
  })
  await server.sql(
    `CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(200)) ENGINE=InnoDB;
     CREATE TABLE notes (id INT PRIMARY KEY, text TEXT) ENGINE=Aria; INSERT INTO notes VALUES (1, 'first');
     INSERT INTO orders (id, text) SELECT seq, CONCAT('order ', seq, REPEAT('x', seq % 100)) FROM seq_1_to_5000`,
  )
  return {
    server,
    run,
    isUp: () => {
      try {
        server.dump('--no-data', 'mysql', 'db')
        return true
      } catch {
        return false
      }
    },
    dump: () => server.dump('--skip-dump-date', '--skip-comments', '--order-by-primary', 'shop'),
  }
}
