import { typeByName } from './engines.ts'
import { type FoundService, portOf, type ReadSource, serviceName, type Texts } from './found.ts'
import { PhpReader, type PhpValue, valueAt } from './php.ts'

const roots = ['', 'web/', 'docroot/', 'html/', 'public/']
/** Those that a later one overrides come first. */
const names = ['settings.php', 'settings.ddev.php', 'settings.local.php']
const mostSites = 20

/** Drupal: `$databases['default']['default'] = […]` in a site's settings. */
export const readDrupalSettings: ReadSource = (texts) =>
  roots.flatMap((root) =>
    texts
      .list(`${root}sites`)
      .slice(0, mostSites)
      .flatMap((site) => readSite(texts, `${root}sites/${site}`, site)),
  )

function readSite(texts: Texts, folder: string, site: string): FoundService[] {
  const settings: Settings = new Map()
  for (const name of names) {
    const file = `${folder}/${name}`
    const text = texts.read(file)
    if (text !== undefined) readAssignments(text, file, texts, settings)
  }
  return [...settings].flatMap(([key, { entries, source }]) => {
    const array: PhpValue = { kind: 'array', entries, line: 0 }
    const type = typeByName(valueAt(array, 'driver')?.value ?? 'mysql')
    const database = valueAt(array, 'database')
    if (!type || !database) return []
    const own = site === 'default' ? 'db' : serviceName(site, 'db')
    return [
      {
        type,
        name: key === 'default' ? own : serviceName(site === 'default' ? key : `${site}-${key}`, 'db'),
        role: 'application' as const,
        host: valueAt(array, 'host') ?? { value: 'localhost' },
        port: portOf(valueAt(array, 'port')?.value),
        socketPath: valueAt(array, 'unix_socket')?.value,
        user: valueAt(array, 'username'),
        password: valueAt(array, 'password'),
        database,
        source,
        reason: `${source} names it (Drupal)`,
      },
    ]
  })
}

type Settings = Map<string, { readonly entries: Map<string, PhpValue>; source: string }>

/** Assignments to all of `$databases`, to one key, to its target `default`, or to one setting of that. */
function readAssignments(text: string, file: string, texts: Texts, settings: Settings): void {
  const reader = new PhpReader(text, (name) => texts.variable(name))
  while (!reader.ended) {
    if (!reader.accept('$databases')) {
      reader.take()
      continue
    }
    const path: string[] = []
    while (reader.accept('[')) {
      const key = reader.acceptText()
      if (key === undefined || !reader.accept(']')) break
      path.push(key)
    }
    if (reader.accept('=')) assign(path, reader.value(), file, settings)
  }
}

function assign(path: readonly string[], value: PhpValue, file: string, settings: Settings): void {
  const [key, target, name] = path
  if (target !== undefined && target !== 'default') return
  if (name !== undefined) {
    const known = settings.get(key!)
    if (known) known.entries.set(name, value)
    else settings.set(key!, { entries: new Map([[name, value]]), source: `${file}:${value.line}` })
  } else if (value.kind === 'array' && target !== undefined) {
    settings.set(key!, { entries: new Map(value.entries), source: `${file}:${value.line}` })
  } else if (value.kind === 'array') {
    for (const [inner, each] of value.entries) assign([...path, inner], each, file, settings)
  }
}
