import { createRequire } from 'node:module'
import vm from 'node:vm'
import { Commands } from './commands.ts'
import type { Json } from './data.ts'
import { connect } from './tool.ts'

/** The words that the driver is known to give; all others are refused. */
const [quiet, norc, nodb, evaluate, script = ''] = process.argv.slice(2)
if ([quiet, norc, nodb, evaluate].join(' ') !== '--quiet --norc --nodb --eval') {
  process.stderr.write(`Error parsing command line: unrecognized option: ${process.argv.slice(2).join(' ')}\n`)
  process.exit(1)
}

/** Turns what extended JSON takes for a value of its own into that, as the real one does. */
function revive(_: string, value: unknown): unknown {
  const { $regex, $options } = (value ?? {}) as { $regex?: unknown; $options?: unknown }
  return typeof $regex === 'string' ? { $regularExpression: { pattern: $regex, options: $options ?? '' } } : value
}

function typed(value: unknown): unknown {
  if (typeof value === 'number')
    return Number.isInteger(value) ? { $numberInt: `${value}` } : { $numberDouble: `${value}` }
  if (Array.isArray(value)) return value.map(typed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, typed(each)]))
}

class Database {
  readonly #commands: Commands
  readonly #name: string

  constructor(commands: Commands, name: string) {
    this.#commands = commands
    this.#name = name
  }

  getSiblingDB(name: string): Database {
    return new Database(this.#commands, name)
  }

  async runCommand(command: Json): Promise<Json> {
    return this.#commands.run(this.#name, command)
  }
}

const context = vm.createContext({
  require: createRequire(import.meta.url),
  process,
  print: (text: string) => process.stdout.write(`${text}\n`),
  EJSON: {
    parse: (text: string) => JSON.parse(text, revive),
    stringify: (value: unknown) => JSON.stringify(typed(value)),
  },
  connect: async (uri: string) => {
    const { data, database } = connect(uri)
    return new Database(new Commands(data), database)
  },
})

try {
  await vm.runInContext(script, context)
} catch (error) {
  process.stderr.write(`MongoServerError: ${(error as Error).message}\n`)
  process.exit(1)
}
