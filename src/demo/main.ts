import { execFile } from 'node:child_process'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { buildShop, countRows, fingerprint, ruin, type Shop, shopIn, tradeForADay } from './shop.ts'

/** The whole loop on a small shop in a temporary folder, by the commands that a user would type; every byte is checked. */

const launcher = fileURLToPath(new URL('../../bin/git-env.js', import.meta.url))

async function demo(shop: Shop): Promise<void> {
  say('A shop is built: code in Git, a SQLite database, a folder of pictures.')
  await buildShop(shop)
  await git(shop, 'init', '-q', '-b', 'main')
  await git(shop, 'add', '.')
  await git(shop, 'commit', '-qm', 'the shop')
  tell(`${rowText(shop)}, 400 pictures`)

  await show(shop, ['init'])
  await git(shop, 'add', '.git-env.yaml')
  await git(shop, 'commit', '-qm', 'git-env knows what to save')
  await show(shop, ['snapshot', '-m', 'opening day'])

  say('A day goes by: 500 orders, a price, a picture, a commit.')
  await tradeForADay(shop)
  await git(shop, 'commit', '-q', '--allow-empty', '-m', 'free shipping on Sundays')
  await show(shop, ['snapshot', '-m', 'before the upgrade'])
  // A file that git does not know yet, and that is not in the way, stays where it is through every restore.
  const untracked = ['notes.txt']
  const good = await fingerprint(shop)

  say('Then everything goes wrong: the database is garbage, the pictures are deleted, code is half edited.')
  await ruin(shop)
  const ruins = await fingerprint(shop)
  await show(shop, ['status'])

  await show(shop, ['restore', '--yes'])
  await check(shop, good, untracked, 'every row, file, mode and time is as it was at the snapshot')
  await show(shop, ['undo'])
  await check(shop, ruins, [], 'even the ruins are back, byte for byte, uncommitted code included')
  await show(shop, ['undo', '--redo'])
  await check(shop, good, untracked, 'and the good state again')

  say('All of it is in the history that Git itself shows:')
  tell(await git(shop, 'log', '--graph', '--format=%h %s'))
  await show(shop, ['log', '--snapshots', '--all'])
  await show(shop, ['verify', '--data'])
}

const started = performance.now()
const directory = await realpath(await mkdtemp(path.join(tmpdir(), 'git-env-demo-')))
try {
  await demo(shopIn(directory))
  say(`Done in ${((performance.now() - started) / 1000).toFixed(1)} s; ${directory} is removed again.`)
} finally {
  await rm(directory, { recursive: true, force: true })
}

async function check(shop: Shop, expected: string, except: readonly string[], text: string): Promise<void> {
  const found = await fingerprint(shop, except)
  if (found !== expected) throw new Error(`not true that ${text}: ${found} instead of ${expected}`)
  tell(styleText('green', `✓ ${text}`))
}

function rowText(shop: Shop): string {
  return Object.entries(countRows(shop))
    .map(([table, count]) => `${count} ${table}`)
    .join(', ')
}

function say(text: string): void {
  process.stdout.write(`\n${styleText('bold', text)}\n`)
}

function tell(text: string): void {
  process.stdout.write(`${text.trimEnd().replace(/^/gm, '  ')}\n`)
}

/** Runs `git env …` and shows the command with what it prints. */
async function show(shop: Shop, words: readonly string[]): Promise<void> {
  const shown = words.map((word) => (/[^\w-]/.test(word) ? `"${word}"` : word)).join(' ')
  process.stdout.write(`\n  ${styleText('cyan', `$ git env ${shown}`)}\n`)
  tell(await run(shop, process.execPath, [launcher, ...words]))
}

function git(shop: Shop, ...words: readonly string[]): Promise<string> {
  return run(shop, 'git', words)
}

/** In an environment of its own: the demo must not depend on, or touch, what a person has configured. */
function run(shop: Shop, file: string, words: readonly string[]): Promise<string> {
  const identity = { GIT_AUTHOR_NAME: 'Demo', GIT_AUTHOR_EMAIL: 'demo@example.com' }
  const env = {
    PATH: process.env['PATH'],
    HOME: shop.directory,
    GIT_CONFIG_NOSYSTEM: '1',
    ...identity,
    GIT_COMMITTER_NAME: identity.GIT_AUTHOR_NAME,
    GIT_COMMITTER_EMAIL: identity.GIT_AUTHOR_EMAIL,
  }
  return new Promise((resolve, reject) => {
    execFile(file, [...words], { cwd: shop.directory, env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${words.join(' ')}: ${stderr || error.message}`))
      else resolve(stdout + stderr)
    })
  })
}
