import { expect, test } from 'vitest'
import { Program, type ProgramOptions } from '../../src/services/connection/program.ts'

function options(more: Partial<ProgramOptions> = {}): ProgramOptions {
  return { run: undefined, signal: new AbortController().signal, secrets: [], ...more }
}

async function printed(program: Program): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of program.output()) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

const odd = [`it's "odd" $(false) \\ \`x\``, 'two\nlines', '-x', '']

test.each([[undefined], [['env', 'A=b']]])(
  'words arrive as they are, and input reaches the program alone, by %s',
  async (run) => {
    const program = await Program.start(['sh', '-c', 'printf "[%s]" "$@"; cat', 'sh', ...odd], options({ run }))
    program.input.end('exit 7\nwhat it reads')
    expect(await printed(program)).toBe(`${odd.map((word) => `[${word}]`).join('')}exit 7\nwhat it reads`)
    program.end()
  },
)

test('a status other than 0 is an error with its last words, in which no secret is shown', async () => {
  const program = await Program.start(
    ['sh', '-c', 'echo some; echo "no: s3cret" >&2; exit 3'],
    options({ secrets: ['s3cret', ''] }),
  )
  await expect(printed(program)).rejects.toMatchObject({
    code: 'unavailable',
    message: 'sh: it ended with status 3: no: ***',
  })
})

test('a prefix that leads nowhere says so', async () => {
  await expect(Program.start(['x'], options({ run: ['sh', '-c', 'echo no way >&2; exit 1'] }))).rejects.toMatchObject({
    message: 'x (by sh -c echo no way >&2; exit 1): it ended with status 1: no way',
  })
  await expect(Program.start(['x'], options({ run: ['/nowhere/at/all'] }))).rejects.toMatchObject({
    message: expect.stringContaining('cannot be started'),
  })
  await expect(Program.start(['x'], options({ run: ['sh', '-c', 'echo hello'] }))).rejects.toMatchObject({
    message: expect.stringContaining('something else answered'),
  })
})

test('cancelling ends it', async () => {
  const controller = new AbortController()
  const program = await Program.start(['sleep', '60'], options({ signal: controller.signal }))
  const ended = program.success()
  controller.abort()
  await expect(ended).rejects.toMatchObject({ code: 'cancelled' })
})
