import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { type LibraryProject, makeLibraryProject, ruinLibrary, secrets } from '../support/library-project.ts'
import { startMariadbWriter } from '../support/mariadb-writer.ts'
import { startPostgresWriter } from '../support/postgres-writer.ts'
import { until } from '../support/running.ts'

/** The numbers that a writer wrote and that are there now. */
async function written({ mariadbSql, postgresSql }: LibraryProject): Promise<{ shop: number[]; books: number[] }> {
  const numbers = (rows: Record<string, unknown>[]) => rows.map((row) => Number(row['number']))
  const query = 'SELECT number FROM written ORDER BY number'
  return { shop: numbers(await mariadbSql(query)), books: numbers(await postgresSql(query)) }
}

/** What is wanted and not there, as ranges. */
function missing(wanted: readonly number[], ...places: readonly (readonly number[])[]): string[] {
  const there = new Set(places.flat())
  const found: [number, number][] = []
  for (const number of wanted.filter((each) => !there.has(each))) {
    const last = found.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else found.push([number, number])
  }
  return found.map((range) => range.join('-'))
}

async function startWriters(library: LibraryProject) {
  const [shop, books] = await Promise.all([startMariadbWriter(library.mariadb), startPostgresWriter(library.postgres)])
  const acknowledged = () => ({ shop: [...shop.acknowledged()], books: [...books.acknowledged()] })
  return {
    acknowledged,
    /** Nobody is held: both are told of some more rows. */
    goOn: async () => {
      const before = acknowledged()
      const isOn = () =>
        shop.acknowledged().length > before.shop.length + 5 && books.acknowledged().length > before.books.length + 5
      await until(() => isOn() || undefined, 'the writers')
    },
    stop: async () => {
      await Promise.all([shop.stop(), books.stop()])
      return [...shop.errors]
    },
  }
}

describe('MariaDB, PostgreSQL and files', () => {
  test('come back as the dump tools saw them, undo brings the ruins back, and redo takes them away again', async () => {
    const library = await makeLibraryProject()
    const { project } = library
    const good = library.state()
    await project.ok('snapshot', '-m', 'good')
    await ruinLibrary(library, 'ruined')
    const bad = library.state()
    const dry = await project.ok('restore', '--dry-run')
    for (const name of ['shop', 'books']) expect(dry).toContain(`${name}: 1 table added, 2 changed, 1 removed`)
    expect(library.state()).toBe(bad)
    await project.ok('restore', '--yes')
    expect(library.state()).toBe(good)
    await project.ok('undo')
    expect(library.state()).toBe(bad)
    await project.ok('undo', '--redo')
    expect(library.state()).toBe(good)
    expect(await project.ok('verify', '--data')).toContain('no damage found')
  })

  test('come back under writers as the export of the snapshot has them, and no acknowledged row is lost', async () => {
    const library = await makeLibraryProject()
    const { project } = library
    const good = library.state()
    const writers = await startWriters(library)
    await writers.goOn()
    const beforeSnapshot = writers.acknowledged()
    await project.ok('snapshot', '-m', 'under writers')
    await writers.goOn()
    await ruinLibrary(library, 'ruined under writers')
    const bad = library.state()

    await project.ok('restore', '--yes')
    await writers.goOn()
    expect(library.state()).toBe(good)
    const restored = await written(library)
    for (const name of ['shop', 'books'] as const) {
      expect(missing(beforeSnapshot[name], restored[name])).toEqual([])
    }
    const beforeUndo = writers.acknowledged()
    await project.ok('undo')
    await writers.goOn()
    expect(library.state()).toBe(bad)
    const undone = await written(library)
    await project.ok('undo', '--redo')
    await writers.goOn()
    expect(await writers.stop()).toEqual([])
    expect(library.state()).toBe(good)
    const redone = await written(library)
    const all = writers.acknowledged()
    for (const name of ['shop', 'books'] as const) {
      // What was written until a swap is on its side; every row is here or one undo away.
      expect(missing(beforeUndo[name], undone[name], redone[name])).toEqual([])
      const swapped = restored[name].findIndex((number, i) => i > 0 && number !== restored[name][i - 1]! + 1)
      expect(swapped).toBeGreaterThan(0)
      const lastBeforeSwap = restored[name][swapped]! - 1
      expect(
        missing(
          beforeUndo[name].filter((number) => number <= lastBeforeSwap),
          undone[name],
        ),
      ).toEqual([])
      expect(
        missing(
          beforeUndo[name].filter((number) => number > lastBeforeSwap),
          redone[name],
        ),
      ).toEqual([])
    }
    await project.ok('undo')
    const back = await written(library)
    for (const name of ['shop', 'books'] as const) {
      expect(missing(all[name], back[name], redone[name])).toEqual([])
    }
  })

  test('are restored in part: one table of each', async () => {
    const library = await makeLibraryProject()
    const { project } = library
    await project.ok('snapshot')
    await library.mariadbSql(`UPDATE Author SET Name = 'x'; UPDATE Shelf SET Label = 'x'`)
    await library.postgresSql(`UPDATE "Author" SET "Name" = 'x'; UPDATE "Shelf" SET "Label" = 'x'`)
    await project.ok('restore', '--yes', '--only', 'shop:Shelf,books:public.Shelf')
    expect(await library.mariadbSql(`SELECT count(*) AS n FROM Author WHERE Name = 'x'`)).toEqual([{ n: 150 }])
    expect(await library.mariadbSql(`SELECT count(*) AS n FROM Shelf WHERE Label = 'x'`)).toEqual([{ n: 0 }])
    expect(await library.postgresSql(`SELECT count(*)::int AS n FROM "Author" WHERE "Name" = 'x'`)).toEqual([
      { n: 150 },
    ])
    expect(await library.postgresSql(`SELECT count(*)::int AS n FROM "Shelf" WHERE "Label" = 'x'`)).toEqual([{ n: 0 }])
  })
})

describe('SIGKILL of the guard', () => {
  test('at any step of the swap of both servers, under writers, ends before or after it and loses no row', {
    timeout: 600_000,
  }, async () => {
    const library = await makeLibraryProject()
    const { project } = library
    const good = library.state()
    const writers = await startWriters(library)
    await writers.goOn()
    await project.ok('snapshot', '-m', 'good', '--name', 'good')
    await ruinLibrary(library, 'first')
    const traced = await project.run(['restore', 'good', '--yes'], { env: { GIT_ENV_TRACE: '1' } })
    expect(traced.status).toBe(0)
    const steps = [...traced.stderr.matchAll(/^trace (\d+) (\d+) (.*?)( \(\d+ ms\))?$/gm)].map(
      ([, pid, number, step]) => ({ pid, number: Number(number), step }),
    )
    const guard = steps.filter(({ pid }) => pid === steps.at(-1)!.pid)
    const held = guard.findIndex(({ step }) => step === 'swap: held')
    const released = guard.findIndex(({ step }) => step === 'swap: released')
    // The others are killed in the tests of crashes without servers.
    const ofServers = guard.slice(held, released).filter(({ step }) => /shop|books|^journal: committing/.test(step!))
    expect(ofServers.length).toBeGreaterThan(5)
    for (const { number: step } of ofServers) {
      const there = await written(library)
      const known = writers.acknowledged()
      await ruinLibrary(library, `before ${step}`)
      const bad = library.state()
      await project.run(['restore', 'good', '--yes'], { env: { GIT_ENV_KILL_GUARD_AT: String(step) } })
      await project.ok('recover', '--wait')
      await writers.goOn()
      const now = library.state()
      expect([good, bad]).toContain(now)
      // In this order: what is acknowledged later is on the side that the undo takes away.
      const since = writers.acknowledged()
      const here = await written(library)
      if (now === good) await project.ok('undo')
      expect(library.state()).toBe(bad)
      const undone = await written(library)
      for (const name of ['shop', 'books'] as const) {
        const wanted = [...there[name], ...since[name].slice(known[name].length)]
        expect(missing(wanted, here[name], undone[name])).toEqual([])
      }
    }
    expect(await writers.stop()).toEqual([])
  })
})

describe('passwords', () => {
  test('are in no argument, output, error, manifest or commit', async () => {
    const library = await makeLibraryProject()
    const { project } = library
    const words = Object.values(secrets).flatMap((secret) => [secret, encodeURIComponent(secret)])
    const holds = (text: string) => words.some((word) => text.includes(word))
    const seen: string[] = []
    const poll = setInterval(() => {
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          if (holds(line)) seen.push(line)
        } catch {
          // It ended between two looks.
        }
      }
    }, 5)
    const outputs: string[] = []
    const run = async (...command: string[]) => {
      const ran = await project.run(command, { env: { GIT_ENV_TRACE: '1' } })
      outputs.push(ran.stdout, ran.stderr)
      return ran.status
    }
    expect(await run('snapshot', '-m', 'good')).toBe(0)
    await ruinLibrary(library, 'ruined')
    for (const command of [
      ['status'],
      ['doctor', '--json'],
      ['diff', '--stat'],
      ['restore', '--yes'],
      ['undo'],
      ['show', '--json'],
    ])
      expect(await run(...command)).toBe(0)
    expect(await run('export', 'latest', project.path('out.tar'))).toBe(0)
    await writeFile(
      project.path('.git-env.local'),
      'MARIADB_PASSWORD=wrong-secret-1\nPOSTGRES_PASSWORD=wrong-secret-2\n',
    )
    expect(await run('snapshot')).not.toBe(0)
    expect(outputs.at(-1)).toMatch(/^error: .*(password|denied|authentication)/im)
    clearInterval(poll)
    expect(seen).toEqual([])
    expect(outputs.filter((text) => holds(text) || /wrong-secret/.test(text))).toEqual([])
    const objects = execFileSync('git', ['cat-file', '--batch-all-objects', '--batch'], {
      cwd: project.directory,
      maxBuffer: 1 << 28,
    }).toString('latin1')
    expect(holds(Buffer.from(objects, 'latin1').toString('utf8'))).toBe(false)
    const kept = readdirSync(project.path('.git'), { recursive: true, withFileTypes: true }).filter((each) =>
      each.isFile(),
    )
    const holding = kept.filter((each) => holds(readFileSync(`${each.parentPath}/${each.name}`, 'utf8')))
    expect(holding).toEqual([])
  })
})
