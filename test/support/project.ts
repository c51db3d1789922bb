import { execFile, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { temporaryDirectory } from './temporary.ts'

const launcher = fileURLToPath(new URL('../../bin/git-env.js', import.meta.url))

export type Ran = {
  readonly status: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** A real repository with a SQLite database and a folder of uploads, and the real command line to use on it. */
export class Project {
  readonly directory: string
  readonly home: string

  constructor(directory: string, home: string) {
    this.directory = directory
    this.home = home
  }

  get database(): string {
    return path.join(this.directory, 'data/app.sqlite')
  }

  get uploads(): string {
    return path.join(this.directory, 'uploads')
  }

  path(name: string): string {
    return path.join(this.directory, name)
  }

  get environment(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.home,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.com',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.com',
      TZ: 'UTC',
    }
  }

  /** Runs `git-env …` and waits for its end, whatever that is. */
  run(
    words: readonly string[],
    options: { readonly env?: Record<string, string>; readonly directory?: string } = {},
  ): Promise<Ran> {
    const env = { ...this.environment, ...options.env }
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [launcher, ...words], {
        cwd: options.directory ?? this.directory,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', (part: Buffer) => {
        stdout += part.toString()
      })
      child.stderr.on('data', (part: Buffer) => {
        stderr += part.toString()
      })
      child.on('error', reject)
      child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }))
    })
  }

  /** Runs `git-env …`, which must succeed; gives what it printed. */
  async ok(...words: readonly string[]): Promise<string> {
    const ran = await this.run(words)
    if (ran.status !== 0)
      throw new Error(`git env ${words.join(' ')}: status ${ran.status}\n${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }

  /** Runs `git-env … --json`, which must succeed. */
  async json<T>(...words: readonly string[]): Promise<T> {
    return JSON.parse(await this.ok(...words, '--json')) as T
  }

  git(...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(
        'git',
        [...words],
        { cwd: this.directory, env: this.environment, maxBuffer: 1 << 28 },
        (error, stdout, stderr) => {
          if (error) reject(new Error(`git ${words.join(' ')}: ${stderr || error.message}`))
          else resolve(stdout.trimEnd())
        },
      )
    })
  }

  /** Runs SQL on the live database in a connection of its own. */
  sql(text: string): Record<string, unknown>[] {
    const database = new DatabaseSync(this.database)
    try {
      database.exec('PRAGMA busy_timeout = 10000')
      return database.prepare(text).all() as Record<string, unknown>[]
    } finally {
      database.close()
    }
  }
}

export type ProjectOptions = {
  readonly journalMode?: 'wal' | 'delete'
  readonly rows?: number
  readonly files?: number
  /** Without: the repository has data, and `git env init` was not run. */
  readonly initialized?: boolean
}

/** Makes a project that is gone when the running test ends. */
export async function makeProject(options: ProjectOptions = {}): Promise<Project> {
  const home = await temporaryDirectory('git-env-home-')
  const directory = await temporaryDirectory('git-env-project-')
  const project = new Project(directory, home)
  await project.git('init', '-q', '-b', 'main')
  await writeFile(project.path('.gitignore'), 'data/\nuploads/\n')
  await writeFile(project.path('app.js'), 'export const version = 1\n')
  fillDatabase(project, options)
  for (let i = 0; i < (options.files ?? 5); i++) {
    const folder = path.join(project.uploads, `folder-${i % 3}`)
    await mkdir(folder, { recursive: true })
    await writeFile(path.join(folder, `${i}.txt`), `file ${i}\n`.repeat(1 + (i % 50)))
  }
  if (options.initialized ?? true) await project.ok('init')
  await project.git('add', '.')
  await project.git('commit', '-qm', 'first')
  return project
}

function fillDatabase(project: Project, options: ProjectOptions): void {
  const { mkdirSync } = process.getBuiltinModule('node:fs')
  mkdirSync(path.dirname(project.database), { recursive: true })
  const database = new DatabaseSync(project.database)
  database.exec(`PRAGMA journal_mode = ${options.journalMode ?? 'wal'}`)
  database.exec(
    'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); CREATE TABLE tags (name TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN',
  )
  const insert = database.prepare('INSERT INTO notes (text) VALUES (?)')
  for (let i = 0; i < (options.rows ?? 100); i++) insert.run(`note ${i} ${'x'.repeat(i % 40)}`)
  database.exec(`INSERT INTO tags VALUES ('one'), ('two'); COMMIT`)
  database.close()
}
