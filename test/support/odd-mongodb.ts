import type { MongoServer } from './servers/mongodb.ts'

export const database = 'shop_main-00000000'

const int = (value: number) => ({ $numberInt: `${value}` })

/** Collections of every kind that is supported, with odd names, values and definitions; and a database of somebody else. */
export function fillMongo(server: MongoServer): void {
  const { data } = server
  const orders = data.create(database, 'orders', {
    validator: { $jsonSchema: { required: ['total'] }, note: { $regex: '^a', $options: 'i', $nin: ['b'] } },
    validationLevel: 'moderate',
    collation: { locale: 'fr', strength: int(2) },
  })
  data.addIndex(orders.uuid, { key: { z: int(1), a: int(-1) }, name: 'z_1_a_-1', unique: true })
  data.addIndex(orders.uuid, { key: { at: int(1) }, name: 'at_1', expireAfterSeconds: int(3600) })
  data.create(database, 'log', { capped: true, size: int(1_000_000), max: int(30) })
  data.create(database, 'empty')
  data.create(database, 'cheap', { viewOn: 'orders', pipeline: [{ $match: { total: { $regex: '^1' } } }] })
  data.create(database, 'gone later', { viewOn: 'log', pipeline: [] })
  for (let n = 0; n < 130; n++) {
    const odd = {
      text: `\u0000"'\\ üñ🙂 ${n}`,
      at: new Date(n * 1e9),
      big: 2n ** 60n + BigInt(n),
      none: null,
      yes: true,
    }
    server.insert(database, 'orders', {
      _id: n,
      total: n / 7,
      ...odd,
      list: [1, 'two', [3.5]],
      bytes: Buffer.alloc(n, n),
    })
  }
  // Got in before there was a rule.
  server.insert(database, 'orders', { _id: 'invalid' })
  for (let n = 0; n < 45; n++) server.insert(database, 'log', { _id: n, line: 'x'.repeat(n * 10) })
  server.insert(
    database,
    '-odd $(name) "quoted" é',
    { _id: { a: 1, b: 'two' }, value: 1 },
    { _id: 2, value: Buffer.alloc(200_000, 7) },
  )
  server.insert('others', 'theirs', { _id: 1, value: 'not ours' })
  server.insert(database, 'git_env_01j99999999999999999999999_old_0', { _id: 1, of: 'another restore' })
}

export function changeMongo(server: MongoServer, seed: number): void {
  const { data } = server
  server.replace(database, 'orders', { _id: 3, total: seed + 0.5 })
  server.remove(database, 'orders', 7)
  server.insert(database, 'orders', { _id: 1000 + seed, total: 1 })
  if (data.collection(database, 'log')) data.drop(database, 'log')
  server.insert(database, `new-${seed}`, { _id: seed })
  if (data.collection(database, 'gone later')) data.drop(database, 'gone later')
  if (!data.collection(database, 'seen'))
    data.create(database, 'seen', { viewOn: 'orders', pipeline: [{ $limit: int(seed) }] })
}
