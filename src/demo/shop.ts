import { createHash } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** A small web shop: code in Git, orders in SQLite, pictures in a folder. */
export type Shop = { readonly directory: string; readonly database: string; readonly uploads: string }

export function shopIn(directory: string): Shop {
  return { directory, database: path.join(directory, 'data/shop.sqlite'), uploads: path.join(directory, 'uploads') }
}

const rows = { products: 5_000, customers: 15_000, orders: 80_000 }
const pictures = 400

export async function buildShop(shop: Shop): Promise<void> {
  await mkdir(path.join(shop.directory, 'src'), { recursive: true })
  await mkdir(path.dirname(shop.database), { recursive: true })
  await writeFile(path.join(shop.directory, 'src/checkout.js'), 'export const shipping = 4.9\n')
  await writeFile(path.join(shop.directory, '.gitignore'), 'data/\nuploads/\n')
  fillDatabase(shop.database)
  const random = pseudoRandom(7)
  for (let i = 0; i < pictures; i++) {
    const folder = path.join(shop.uploads, `products/${String(i % 20).padStart(2, '0')}`)
    await mkdir(folder, { recursive: true })
    await writeFile(path.join(folder, `${i}.jpg`), noise(2_000 + Math.floor(random() * 30_000), random))
  }
}

function fillDatabase(file: string): void {
  const database = new DatabaseSync(file)
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, product INTEGER REFERENCES products, placed TEXT);
    CREATE INDEX orders_by_customer ON orders (customer);
    BEGIN`)
  const product = database.prepare('INSERT INTO products VALUES (?, ?, ?)')
  for (let id = 1; id <= rows.products; id++) product.run(id, `product ${id}`, 100 + (id % 9_000))
  const customer = database.prepare('INSERT INTO customers VALUES (?, ?)')
  for (let id = 1; id <= rows.customers; id++) customer.run(id, `customer${id}@example.com`)
  const order = database.prepare('INSERT INTO orders VALUES (?, ?, ?, ?)')
  for (let id = 1; id <= rows.orders; id++) {
    const minute = String(id % 60).padStart(2, '0')
    order.run(id, 1 + (id % rows.customers), 1 + (id % rows.products), `2026-01-01 10:${minute}:00`)
  }
  database.exec('COMMIT')
  database.close()
}

/** A day of business: new orders, a new picture, a price that changes. */
export async function tradeForADay(shop: Shop): Promise<void> {
  const database = new DatabaseSync(shop.database)
  database.exec('BEGIN')
  const order = database.prepare('INSERT INTO orders (customer, product, placed) VALUES (?, ?, ?)')
  for (let i = 1; i <= 500; i++) order.run(i, i, '2026-01-02 10:00:00')
  database.exec('UPDATE products SET price = price + 100 WHERE id = 1; COMMIT')
  database.close()
  await writeFile(path.join(shop.uploads, 'products/00/new.jpg'), noise(20_000, pseudoRandom(8)))
}

/** Everything that a bad day can bring at once. */
export async function ruin(shop: Shop): Promise<void> {
  await writeFile(shop.database, 'this is no database any more')
  await rm(path.join(shop.uploads, 'products'), { recursive: true })
  await writeFile(path.join(shop.directory, 'src/checkout.js'), 'export const shipping = NaN // fix this later\n')
  await writeFile(path.join(shop.directory, 'notes.txt'), 'not in Git yet, and still wanted\n')
}

/** Tables and rows of the database, as they are. */
export function countRows(shop: Shop): Record<string, number> {
  const database = new DatabaseSync(shop.database, { readOnly: true })
  const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
  const counts = { products: count('products'), customers: count('customers'), orders: count('orders') }
  database.close()
  return counts
}

/**
 * One SHA-256 over everything a visitor could notice: every row of every table (or, where it is no database, the bytes of the file),
 * every uploaded file with name, mode and time, and the files of the work tree but those in `except`.
 */
export async function fingerprint(shop: Shop, except: readonly string[] = []): Promise<string> {
  const hash = createHash('sha256')
  hash.update(await databaseFingerprint(shop.database))
  for (const file of await filesBelow(shop.directory)) {
    if (file.startsWith('.git/') || file.startsWith('data/') || except.includes(file)) continue
    const full = path.join(shop.directory, file)
    const stats = await lstat(full, { bigint: true })
    const time = file.startsWith('uploads/') ? stats.mtimeNs : ''
    hash.update(`${file} ${stats.mode} ${time}\n`)
    hash.update(stats.isSymbolicLink() ? await readlink(full) : await readFile(full))
  }
  return hash.digest('hex')
}

async function databaseFingerprint(file: string): Promise<Buffer> {
  const bytes = await readFile(file)
  if (bytes.toString('latin1', 0, 15) !== 'SQLite format 3') return bytes
  const hash = createHash('sha256')
  const database = new DatabaseSync(file, { readOnly: true })
  for (const { name, sql } of database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY rowid').all()) {
    hash.update(`${name} ${sql}\n`)
    if (!String(sql).startsWith('CREATE TABLE')) continue
    for (const row of database.prepare(`SELECT rowid, * FROM "${name}" ORDER BY rowid`).iterate()) {
      hash.update(JSON.stringify(row))
    }
  }
  database.close()
  return hash.digest()
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort()
}

function noise(bytes: number, random: () => number): Buffer {
  const buffer = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = random() * 256
  return buffer
}

/** The same numbers at every run, so that two runs can be compared. */
function pseudoRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
