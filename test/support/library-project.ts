import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { treeFingerprint } from './fingerprint.ts'
import { librarySql } from './library-sql.ts'
import { Project } from './project.ts'
import { mariadbServer } from './servers/mariadb.ts'
import { sharedPostgres } from './servers/postgres.ts'
import { sortedRows } from './sorted-rows.ts'
import { temporaryDirectory } from './temporary.ts'

/** Passwords as people have them. */
export const secrets = {
  MARIADB_PASSWORD: `m%a@r/i:a'"\\d#?& 1`,
  POSTGRES_PASSWORD: `p%o@s/t:g'"\\r#?& 2`,
}

/** A project with a library in MariaDB, the same in PostgreSQL, and a folder of files; each database of a user who owns it and nothing else. */
export type LibraryProject = {
  readonly project: Project
  readonly mariadb: { readonly socketPath: string; readonly database: string }
  readonly postgres: {
    readonly host: string
    readonly database: string
    readonly user: string
    readonly password: string
  }
  /** What the servers' own dump tools say, rows sorted within a table, and the files. Without the tables named `written`, which writers fill. */
  state(): string
  mariadbSql(text: string): Promise<Record<string, unknown>[]>
  postgresSql(text: string): Promise<Record<string, unknown>[]>
}

let count = 0

export async function makeLibraryProject(): Promise<LibraryProject> {
  const [first, second] = [await mariadbServer(), await sharedPostgres()]
  const directory = await temporaryDirectory('git-env-library-')
  const project = new Project(directory, await temporaryDirectory('git-env-home-'))
  const name = `library_${process.pid}_${++count}`
  const mysqlText = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  await first.sql(
    `CREATE DATABASE ${name} CHARACTER SET utf8mb4; CREATE USER ${name}@localhost IDENTIFIED BY ${mysqlText(secrets.MARIADB_PASSWORD)};
     GRANT ALL PRIVILEGES ON \`${name.replaceAll('_', '\\_')}\`.* TO ${name}@localhost`,
  )
  await first.sql(librarySql('mysql'), name)
  const postgresText = (text: string) => `'${text.replaceAll("'", "''")}'`
  await second.run(
    'postgres',
    `CREATE ROLE ${name} LOGIN CREATEDB PASSWORD ${postgresText(secrets.POSTGRES_PASSWORD)}`,
    `CREATE DATABASE ${name} OWNER ${name}`,
  )
  const asOwner = async (text: string) => {
    const client = await second.connect(name, name, secrets.POSTGRES_PASSWORD)
    try {
      const result = await client.query(text)
      return (Array.isArray(result) ? result.at(-1) : result).rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }
  await asOwner(librarySql('postgres'))
  onTestFinished(async () => {
    await first.sql(`DROP DATABASE IF EXISTS ${name}; DROP USER ${name}@localhost`)
    await second.run('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `DROP ROLE ${name}`)
  })

  mkdirSync(path.join(directory, 'media/covers'), { recursive: true })
  for (let i = 0; i < 20; i++) writeFileSync(path.join(directory, `media/covers/${i}.txt`), `cover ${i}\n`.repeat(i))
  writeFileSync(project.path('.gitignore'), 'media/\n.git-env.local\n')
  writeFileSync(project.path('app.js'), 'export const version = 1\n')
  writeFileSync(
    project.path('.git-env.yaml'),
    `services:
  shop:
    type: mariadb
    url: mysql://${name}:\${MARIADB_PASSWORD}@localhost/${name}?socketPath=${first.socketPath}
  books:
    type: postgres
    url: postgres://${name}:\${POSTGRES_PASSWORD}@localhost/${name}?socketPath=${second.socketFolder}
mounts:
  media: media
`,
  )
  const local = Object.entries(secrets).map(([variable, value]) => `${variable}=\`${value}\`\n`)
  writeFileSync(project.path('.git-env.local'), local.join(''), { mode: 0o600 })
  await project.git('init', '-q', '-b', 'main')
  await project.ok('init')
  await project.git('add', '.')
  await project.git('commit', '-qm', 'first')

  return {
    project,
    mariadb: { socketPath: first.socketPath, database: name },
    postgres: { host: second.socketFolder, database: name, user: name, password: secrets.POSTGRES_PASSWORD },
    state: () =>
      JSON.stringify([
        first.dump(
          ...['--routines', '--events', '--triggers', '--skip-dump-date', '--skip-comments', '--skip-extended-insert'],
          ...['--order-by-primary', '--single-transaction', `--ignore-table=${name}.written`, name],
        ),
        sortedRows(second.tool('pg_dump', ['--exclude-table=written', name])),
        treeFingerprint(path.join(directory, 'media')).map((line) => line.replace(/ \d{15,}/, '')),
      ]),
    mariadbSql: (text) => first.sql(text, name),
    postgresSql: asOwner,
  }
}

export async function ruinLibrary(library: LibraryProject, title: string): Promise<void> {
  const { project } = library
  await library.mariadbSql(
    `SET foreign_key_checks = 0; DROP TABLE IF EXISTS Loan;
     ALTER TABLE Book DROP FOREIGN KEY IF EXISTS FK_BookAuthorId, DROP COLUMN IF EXISTS Price, ADD COLUMN IF NOT EXISTS Extra INT;
     UPDATE Author SET Name = '${title}'; CREATE TABLE IF NOT EXISTS Stray (a INT)`,
  )
  await library.postgresSql(
    `DROP TABLE IF EXISTS "Loan"; ALTER TABLE "Book" DROP COLUMN IF EXISTS "Price", ADD COLUMN IF NOT EXISTS "Extra" int;
     UPDATE "Author" SET "Name" = '${title}'; CREATE TABLE IF NOT EXISTS "Stray" (a int)`,
  )
  writeFileSync(project.path('media/covers/3.txt'), title)
  writeFileSync(project.path('media/new.txt'), title)
}
