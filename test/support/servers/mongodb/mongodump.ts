import { once } from 'node:events'
import { connect, fail, printVersion, readOptions, readPassword, say, type Target } from './tool.ts'

/** A cursor reads in batches, and others write in between. */
const batch = 40

printVersion('mongodump')
const options = readOptions(['uri', 'collection', 'out'])
if (options.get('out') !== '-') fail('tests dump to standard output')
const name = options.get('collection')!
let target: Target
try {
  target = connect(options.get('uri')!, readPassword)
} catch (error) {
  fail(`can't create session: failed to connect to ${options.get('uri')}: ${(error as Error).message}`)
}
const { data, database } = target
const found = data.collection(database, name)
if (!found) {
  say(`namespace with DB \`${database}\` and collection \`${name}\` does not exist`)
  process.exit(0)
}
say(`writing \`${database}.${name}\` to stdout`)
let count = 0
for (let after = 0; ; ) {
  const documents = data.documents(found.uuid, after, batch)
  for (const { seq, bson } of documents) {
    if (!process.stdout.write(bson)) await once(process.stdout, 'drain')
    after = seq
    count++
  }
  if (data.setting('mishap') === 'dump' && count > 0)
    fail('error writing data for collection: connection(127.0.0.1) unexpected EOF')
  if (documents.length < batch) break
}
if (data.setting('mishap') === 'drop') data.drop(database, name)
say(`dumped ${count} documents`)
