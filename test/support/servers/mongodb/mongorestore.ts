import { connect, fail, printVersion, readOptions, readPassword, say, type Target } from './tool.ts'

const batch = 100

printVersion('mongorestore')
const flags = ['maintainInsertionOrder', 'bypassDocumentValidation', 'noIndexRestore']
const options = readOptions(['uri', 'collection', 'dir', ...flags])
if (options.get('dir') !== '-') fail('tests restore from standard input')
const name = options.get('collection')!
let target: Target
try {
  target = connect(options.get('uri')!, readPassword)
} catch (error) {
  fail(`could not connect to server: ${(error as Error).message}`)
}
const { data, database } = target
const bypass = options.has('bypassDocumentValidation')
say(`restoring \`${database}.${name}\` from \`-\``)
if (data.collection(database, name)) say(`restoring to existing collection \`${database}.${name}\` without dropping`)
let rest = Buffer.alloc(0)
let waiting: Buffer[] = []
let count = 0

function flush(): void {
  const documents = options.has('maintainInsertionOrder') ? waiting : waiting.reverse()
  try {
    data.atOnce(() => {
      for (const bson of documents) data.insert(database, name, bson, { bypass })
    })
  } catch (error) {
    fail(
      `${database}.${name}: error restoring from -: bulk write exception: write errors: [${(error as Error).message}]`,
    )
  }
  count += waiting.length
  waiting = []
}

for await (const part of process.stdin) {
  rest = Buffer.concat([rest, part as Buffer])
  while (rest.length >= 4 && rest.length >= rest.readInt32LE()) {
    waiting.push(Buffer.from(rest.subarray(0, rest.readInt32LE())))
    rest = rest.subarray(rest.readInt32LE())
    if (waiting.length === batch) flush()
  }
}
flush()
if (rest.length > 0) fail(`${database}.${name}: error restoring from -: reading bson input: unexpected EOF`)
say(`${count} document(s) restored successfully. 0 document(s) failed to restore.`)
