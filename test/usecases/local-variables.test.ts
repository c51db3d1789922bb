import { chmod, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseEnv } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openGitRepository } from '../../src/git/open-repository.ts'
import { addLocalVariables, variableLine } from '../../src/usecases/local-variables.ts'
import { makeProject } from '../support/project.ts'

async function projectWith(files: Readonly<Record<string, string>> = {}) {
  const project = await makeProject({ initialized: false })
  for (const [name, text] of Object.entries(files)) await writeFile(project.path(name), text)
  const git = await openGitRepository(project.directory, {
    environment: project.environment,
    signal: new AbortController().signal,
  })
  return {
    project,
    add: (variables: Record<string, string>) =>
      addLocalVariables({ directory: project.directory, git }, new Map(Object.entries(variables))),
    text: (name: string) => readFile(path.join(project.directory, name), 'utf8'),
  }
}

describe('a line of the local file', () => {
  test('gives back exactly what was written, or is not written', () => {
    const odd = fc.string({ unit: fc.constantFrom(...`'"\`\\#$={} \n\r\tnäé😀\0`, 'export ', '\u2028', '\ud800') })
    fc.assert(
      fc.property(fc.oneof(odd, fc.string({ unit: 'binary' })), (value) => {
        const line = variableLine('DB_PASSWORD', value)
        if (line !== undefined) expect(parseEnv(line)).toEqual({ DB_PASSWORD: value })
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['pa$$ # word', "A='pa$$ # word'\n"],
    [`it's`, `A="it's"\n`],
    [`'"`, `A=\`'"\`\n`],
    [`a'"\`b`, `A=a'"\`b\n`],
    ['two\nlines', "A='two\nlines'\n"],
    [`'\\n`, "A=`'\\n`\n"],
    ['carriage\rreturn', undefined],
    [`'"\`\n`, undefined],
  ])('%j', (value, line) => {
    expect(variableLine('A', value)).toBe(line)
  })
})

describe('adding variables', () => {
  test('makes a file that only its owner reads, which git ignores first', async () => {
    const { project, add, text } = await projectWith({ '.gitignore': 'data/\nuploads/' })
    expect(await add({ A_PASSWORD: 'x y', B_PASSWORD: `'` })).toEqual({
      written: ['A_PASSWORD', 'B_PASSWORD'],
      kept: [],
      leftOut: [],
      ignoreWritten: true,
    })
    expect(await text('.git-env.local')).toBe(`A_PASSWORD='x y'\nB_PASSWORD="'"\n`)
    expect((await stat(project.path('.git-env.local'))).mode & 0o777).toBe(0o600)
    expect(await text('.gitignore')).toBe('data/\nuploads/\n.git-env.local\n')
    expect(await project.git('status', '--porcelain')).toBe(' M .gitignore')
  })

  test('never overwrites a name, keeps what is there, and tightens its mode', async () => {
    const { project, add, text } = await projectWith({
      '.git-env.local': '# mine\nA_PASSWORD=mine\nSAME=same',
      '.gitignore': '*.local\n',
    })
    await chmod(project.path('.git-env.local'), 0o644)
    expect(await add({ A_PASSWORD: 'found', SAME: 'same', B_PASSWORD: 'new', C: 'a\rb' })).toEqual({
      written: ['B_PASSWORD'],
      kept: ['A_PASSWORD'],
      leftOut: [{ name: 'C', reason: 'no line of .git-env.local can hold it exactly' }],
      ignoreWritten: false,
    })
    expect(await text('.git-env.local')).toBe("# mine\nA_PASSWORD=mine\nSAME=same\nB_PASSWORD='new'\n")
    expect((await stat(project.path('.git-env.local'))).mode & 0o777).toBe(0o600)
    expect(await text('.gitignore')).toBe('*.local\n')
  })

  test('leaves out what an open quote would swallow', async () => {
    const { add, text } = await projectWith({ '.git-env.local': 'A="open\n' })
    expect(await add({ B: 'x"y' })).toMatchObject({ written: [], leftOut: [{ name: 'B' }] })
    expect(await text('.git-env.local')).toBe('A="open\n')
  })

  test.each([
    [
      'is tracked by git',
      async ({ project }: Awaited<ReturnType<typeof projectWith>>) => {
        await writeFile(project.path('.git-env.local'), 'A=1\n')
        await project.git('add', '-f', '.git-env.local')
      },
    ],
    [
      'is no plain file',
      async ({ project }: Awaited<ReturnType<typeof projectWith>>) => {
        await symlink('elsewhere', project.path('.git-env.local'))
      },
    ],
  ])('writes nothing where the local file %s', async (reason, prepare) => {
    const made = await projectWith()
    await prepare(made)
    expect(await made.add({ B: 'x' })).toMatchObject({
      written: [],
      leftOut: [{ name: 'B', reason: `.git-env.local ${reason}` }],
    })
  })

  test('writes nothing where git cannot be made to ignore it', async () => {
    const { project, add } = await projectWith()
    await project.git('rm', '-q', '--cached', '.gitignore')
    await writeFile(project.path('ignored'), 'data/\n')
    await (await import('node:fs/promises')).rm(project.path('.gitignore'))
    await symlink('ignored', project.path('.gitignore'))
    expect(await add({ B: 'x' })).toMatchObject({
      written: [],
      leftOut: [{ name: 'B', reason: 'git does not ignore .git-env.local' }],
      ignoreWritten: false,
    })
    await expect(stat(project.path('.git-env.local'))).rejects.toThrow('ENOENT')
  })
})
