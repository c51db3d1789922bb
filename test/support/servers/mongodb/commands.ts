import { encode, fieldsOf, type Value } from './bson.ts'
import { type Data, type Json, ServerError } from './data.ts'

type Command = { readonly [key: string]: unknown }

/** Lists longer than this come in several batches. */
const batch = 2

const known: Readonly<Record<string, readonly string[]>> = {
  ping: [],
  hello: [],
  buildInfo: [],
  dbStats: [],
  listCollections: ['filter', 'cursor'],
  listIndexes: ['cursor'],
  getMore: ['collection'],
  create:
    'capped size max validator validationLevel validationAction collation viewOn pipeline expireAfterSeconds'.split(
      ' ',
    ),
  createIndexes: ['indexes'],
  drop: [],
  renameCollection: ['to', 'dropTarget'],
  find: ['filter'],
  findAndModify: ['query', 'update', 'upsert', 'remove'],
  aggregate: ['pipeline', 'cursor', 'bypassDocumentValidation'],
}

/** One connection's commands. Refuses all that it does not know. */
export class Commands {
  readonly #data: Data
  readonly #cursors = new Map<string, Json[]>()

  constructor(data: Data) {
    this.#data = data
  }

  run(db: string, command: Command): Json {
    const [verb = ''] = Object.keys(command)
    const fields = known[verb]
    if (!fields) throw new ServerError(59, `no such command: '${verb}'`)
    const unknown = Object.keys(command).find((key) => key !== verb && !fields.includes(key))
    if (unknown) throw new ServerError(40415, `BSON field '${verb}.${unknown}' is an unknown field.`)
    return { ...this.#data.atOnce(() => this.#dispatch(verb, db, command)), ok: 1 }
  }

  #dispatch(verb: string, db: string, command: Command): Json {
    const data = this.#data
    const name = String(command[verb])
    switch (verb) {
      case 'hello':
        return data.setting('kind') === 'mongos' ? { msg: 'isdbgrid' } : { isWritablePrimary: true }
      case 'buildInfo':
        return { version: '8.0.4' }
      case 'dbStats':
        return { dataSize: data.collections(db).reduce((sum, { uuid }) => sum + bytesOf(data, uuid), 0) }
      case 'listCollections':
        return this.#listCollections(db, command['filter'] as { name?: string } | undefined)
      case 'listIndexes':
        return this.#listIndexes(db, name)
      case 'getMore':
        return this.#cursor(
          `${db}.${command['collection']}`,
          this.#cursors.get(longIn(command[verb])) ?? [],
          'nextBatch',
        )
      case 'create': {
        const { create: _, ...options } = command
        data.create(db, name, options)
        return {}
      }
      case 'createIndexes':
        for (const spec of command['indexes'] as Json[]) data.addIndex(this.#collection(db, name).uuid, spec)
        return {}
      case 'drop':
        data.drop(db, name)
        return {}
      case 'renameCollection':
        return this.#rename(db, name, command)
      case 'find':
        return this.#find(db, name, command['filter'] as Json)
      case 'findAndModify':
        return this.#findAndModify(db, name, command)
      case 'aggregate':
        return this.#merge(db, name, command)
      default:
        return {}
    }
  }

  #collection(db: string, name: string) {
    const found = this.#data.collection(db, name)
    if (found) return found
    throw new ServerError(26, `ns does not exist: ${db}.${name}`)
  }

  #listCollections(db: string, filter: { name?: string } | undefined): Json {
    const rows = this.#data.collections(db).filter(({ name }) => filter?.name === undefined || filter.name === name)
    const infos = rows.map(({ name, type, options, uuid }) => {
      const base64 = Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('base64')
      if (type !== 'collection') return { name, type, options, info: { readOnly: type === 'view' } }
      const info = { readOnly: false, uuid: { $binary: { base64, subType: '04' } } }
      return { name, type, options, info, idIndex: idIndex }
    })
    return this.#cursor(`${db}.$cmd.listCollections`, infos)
  }

  #listIndexes(db: string, name: string): Json {
    const { uuid, type } = this.#collection(db, name)
    if (type === 'view') throw new ServerError(166, `Namespace ${db}.${name} is a view, not a collection`)
    return this.#cursor(`${db}.${name}`, [idIndex, ...this.#data.indexes(uuid)])
  }

  #cursor(ns: string, all: readonly Json[], field = 'firstBatch'): Json {
    const rest = all.slice(batch)
    const id = rest.length === 0 ? '0' : `${this.#cursors.size + 4_000_000_000}`
    if (rest.length > 0) this.#cursors.set(id, rest)
    return { cursor: { id: { $numberLong: id }, ns, [field]: all.slice(0, batch) } }
  }

  #rename(db: string, from: string, { to, dropTarget }: Command): Json {
    if (db !== 'admin') throw new ServerError(13, 'renameCollection may only be run against the admin database.')
    const [source, target] = [from, String(to)].map((ns) => [
      ns.slice(0, ns.indexOf('.')),
      ns.slice(ns.indexOf('.') + 1),
    ])
    if (source![0] !== target![0]) throw new ServerError(20, 'tests rename within a database')
    if (dropTarget !== false) throw new ServerError(20, 'tests never drop a target')
    this.#data.rename(source![0]!, source![1]!, target![1]!)
    return {}
  }

  #state(db: string, name: string): { readonly uuid: string; readonly documents: Json[] } {
    const found = this.#data.collection(db, name)
    const rows = found ? this.#data.documents(found.uuid) : []
    // Documents of this kind hold one field beside `_id`, which is the document as text.
    const documents = rows.map(({ bson }) => {
      const text = fieldsOf(bson).get('text')!
      return JSON.parse(Buffer.from(text.slice(10, -2), 'hex').toString('utf8')) as Json
    })
    return { uuid: found?.uuid ?? '', documents }
  }

  #find(db: string, name: string, filter: Json): Json {
    return this.#cursor(
      `${db}.${name}`,
      this.#state(db, name).documents.filter((each) => matches(each, filter)),
    )
  }

  #findAndModify(db: string, name: string, { query, update, upsert, remove }: Command): Json {
    const { uuid, documents } = this.#state(db, name)
    const wanted = query as Json
    const found = documents.find((each) => matches(each, wanted))
    const id = fieldsOf(encode({ _id: String(wanted['_id']) })).get('_id')!
    if (remove === true) {
      if (found) this.#data.remove(uuid, id)
      return { value: found ?? null }
    }
    const document = { ...(update as Json), _id: wanted['_id'] }
    const bson = encode({ _id: String(wanted['_id']), text: JSON.stringify(document) } as Record<string, Value>)
    if (found) this.#data.replace(uuid, id, bson)
    else if (upsert === true) this.#data.insert(db, name, bson)
    return { value: found ?? null }
  }

  #merge(db: string, name: string, { pipeline, bypassDocumentValidation }: Command): Json {
    const [stage] = pipeline as { $merge: Json }[]
    const { into } = stage!.$merge
    const asked = JSON.stringify(pipeline)
    if (asked !== JSON.stringify([{ $merge: { into, whenMatched: 'replace', whenNotMatched: 'insert' } }])) {
      throw new ServerError(40324, 'tests know one pipeline')
    }
    const target = this.#collection(db, String(into))
    for (const { bson } of this.#data.documents(this.#collection(db, name).uuid)) {
      this.#data.upsert(db, target.name, bson, { bypass: bypassDocumentValidation === true })
    }
    return this.#cursor(`${db}.${name}`, [])
  }
}

const idIndex = { v: { $numberInt: '2' }, key: { _id: { $numberInt: '1' } }, name: '_id_' }

function matches(document: Json, query: Json): boolean {
  return Object.entries(query).every(([key, value]) => JSON.stringify(document[key]) === JSON.stringify(value))
}

function longIn(id: unknown): string {
  return (id as { $numberLong: string }).$numberLong
}

function bytesOf(data: Data, uuid: string): number {
  return data.documents(uuid).reduce((sum, { bson }) => sum + bson.length, 0)
}
