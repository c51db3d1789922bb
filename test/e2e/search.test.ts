import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { changeServer, contentOf, fillServer, strangersOf } from '../support/odd-search.ts'
import { makeProject } from '../support/project.ts'
import { type SearchKind, SearchServer } from '../support/servers/search.ts'

test.each<SearchKind>(['opensearch', 'elasticsearch'])(
  'indices of %s come back with the rest, undo brings the change back, and redo takes it away again',
  async (kind) => {
    const server = await SearchServer.start(kind)
    fillServer(server)
    const project = await makeProject({ rows: 5, files: 2 })
    const config = await readFile(project.path('.git-env.yaml'), 'utf8')
    const search = `  search: { type: ${kind}, url: "${server.url}", indices: ["shop-*", catalog], templates: ["shop-*"], pipelines: ["shop-*"] }`
    await writeFile(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n${search}\n`))
    await project.git('commit', '-qam', 'with a search engine')
    expect(await project.ok('doctor')).toContain('not yet run against a real server')
    const good = contentOf(server)
    const strangers = strangersOf(server)
    expect(await project.ok('snapshot', '-m', 'good')).toContain('4 indices, 257 documents')
    changeServer(server, 1)
    const bad = contentOf(server)
    expect(await project.ok('restore', '--dry-run')).toContain('search: 1 index changed, 1 removed; the schema changed')
    expect(contentOf(server)).toBe(bad)
    await project.ok('restore', '--yes')
    expect(contentOf(server)).toBe(good)
    await project.ok('undo')
    expect(contentOf(server)).toBe(bad)
    await project.ok('undo', '--redo')
    expect(contentOf(server)).toBe(good)
    changeServer(server, 2)
    await project.ok('restore', 'latest', '--only', 'search:shop-products', '--yes')
    expect(server.index('shop-products')!.docs.size).toBe(255)
    expect(server.index('shop-new-2')!.name).toBe('shop-new-2')
    expect(await project.ok('verify', '--data')).toContain('no damage found')
    expect(strangersOf(server)).toBe(strangers)
    const ours = [...server.indices.values()].filter(
      ({ name }) => name.startsWith('git-env-') && !name.endsWith('-elsewhere'),
    )
    expect(ours.filter(({ name, aliases }) => aliases.size === 0 && name !== 'git-env-state')).toEqual([])
  },
)
