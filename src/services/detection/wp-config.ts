import { literal, type ReadSource, type Value } from './found.ts'
import { PhpReader } from './php.ts'
import { readHost } from './server-url.ts'

const files = ['wp-config.php', 'web/wp-config.php', 'public/wp-config.php', 'wordpress/wp-config.php']

/** WordPress: `define( 'DB_NAME', 'shop' );`. */
export const readWpConfig: ReadSource = (texts) =>
  files.flatMap((file) => {
    const text = texts.read(file)
    if (text === undefined) return []
    const reader = new PhpReader(text, (name) => texts.variable(name))
    const defined = new Map<string, { readonly value: Value; readonly line: number }>()
    while (!reader.ended) {
      if (!reader.accept('define')) {
        reader.take()
        continue
      }
      const name = reader.accept('(') ? reader.acceptText() : undefined
      if (name === undefined || !reader.accept(',')) continue
      const value = reader.value()
      // PHP keeps the first of two definitions.
      if (!defined.has(name)) defined.set(name, { value: value.kind === 'text' ? value.value : {}, line: value.line })
    }
    const database = defined.get('DB_NAME')
    if (!database || database.value.value === 'database_name_here') return []
    const source = `${file}:${database.line}`
    return [
      {
        type: 'mysql' as const,
        name: 'db',
        role: 'application' as const,
        ...readHost(defined.get('DB_HOST')?.value ?? literal('localhost')),
        user: defined.get('DB_USER')?.value,
        password: defined.get('DB_PASSWORD')?.value,
        database: database.value,
        source,
        reason: `${source} names it (WordPress)`,
      },
    ]
  })
