import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, type Project } from '../support/project.ts'

async function objects(project: Project, kind: string): Promise<string[]> {
  const directory = project.path(`.git/env/store/${kind}`)
  if (!existsSync(directory)) return []
  const names = await readdir(directory, { recursive: true, withFileTypes: true })
  return names.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file)
  bytes[Math.floor(bytes.length * at)]! ^= 1
  await writeFile(file, bytes)
}

/** Two snapshots whose data has nothing in common, each with its own pack. */
async function twoSnapshots(): Promise<{ project: Project; ids: string[]; packs: string[][] }> {
  const project = await makeProject()
  const packs: string[][] = []
  const take = async (text: string) => {
    const before = await objects(project, 'packs')
    project.sql(`UPDATE notes SET text = '${text}' || id`)
    await writeFile(path.join(project.uploads, `${text}.txt`), text.repeat(1000))
    await project.ok('snapshot', '-m', text)
    packs.push((await objects(project, 'packs')).filter((file) => !before.includes(file)))
  }
  await take('first')
  await take('second')
  const snapshots = await project.json<{ id: string }[]>('log', '--snapshots')
  return { project, ids: snapshots.map(({ id }) => id).reverse(), packs }
}

test('a flipped byte in a pack is named with the snapshots it hits; those are refused with everything as it was, others restore', async () => {
  const { project, ids, packs } = await twoSnapshots()
  await flip(packs[1]![0]!, 0.3)
  const verified = await project.run(['verify', '--data'])
  expect(verified.status).toBe(5)
  const name = path.relative(project.path('.git/env/store'), packs[1]![0]!)
  expect(verified.stdout).toContain(name)
  expect(verified.stdout).toContain(`hits ${ids[1]!.slice(0, 12)}`)
  expect(verified.stdout).not.toContain(ids[0]!.slice(0, 12))

  project.sql('DELETE FROM notes')
  const live = [databaseDump(project.database), treeFingerprint(project.uploads)]
  const refused = await project.run(['restore', '--yes', ids[1]!])
  expect(refused).toMatchObject({ status: 5, stderr: expect.stringContaining(name) })
  expect([databaseDump(project.database), treeFingerprint(project.uploads)]).toEqual(live)
  expect((await project.ok('status')).includes('unfinished')).toBe(false)
  await project.ok('restore', '--yes', ids[0]!)
  expect(databaseDump(project.database).join()).toContain('first1')
})

test('a flipped byte in a manifest, or a missing pack, is named with its snapshot', async () => {
  const { project, ids, packs } = await twoSnapshots()
  const snapshots = await project.json<{ id: string; manifest: string }[]>('log', '--snapshots')
  await flip(project.path(`.git/env/store/manifests/${snapshots[0]!.manifest}`), 0.5)
  const verified = await project.run(['verify', '--data'])
  expect(verified.stdout).toContain(`manifests/${snapshots[0]!.manifest}`)
  expect(verified.stdout).toContain(`hits ${ids[1]!.slice(0, 12)}`)
  expect(await project.run(['restore', '--yes', ids[1]!])).toMatchObject({ status: 5 })
  await rm(packs[0]![0]!)
  expect((await project.run(['verify'])).stdout).toContain(path.basename(packs[0]![0]!))
  expect(await project.run(['restore', '--yes', ids[0]!])).toMatchObject({ status: 5 })
})

test('a lost or damaged pack index is rebuilt without a word', async () => {
  const { project, ids } = await twoSnapshots()
  const [first, ...others] = await objects(project, 'index')
  await flip(first!, 0.5)
  for (const file of others) await rm(file)
  await project.ok('restore', '--yes', ids[0]!)
  expect(databaseDump(project.database).join()).toContain('first1')
  await rm(project.path('.git/env/store/index'), { recursive: true })
  await project.ok('snapshot', '-m', 'again')
  expect(await project.ok('verify', '--data')).toContain('no damage found')
})
