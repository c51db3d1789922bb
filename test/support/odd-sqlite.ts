import { DatabaseSync } from 'node:sqlite'

/** Makes a database of everything that is hard to copy exactly: kinds of tables, of values, of names, and programs in the schema. */
export function makeOddDatabase(file: string, journalMode: 'wal' | 'delete'): void {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false })
  database.exec(`PRAGMA journal_mode = ${journalMode}; PRAGMA user_version = 7; PRAGMA application_id = 1234; BEGIN`)
  for (const statement of [...definitions, ...rows]) database.exec(statement)
  database.exec('COMMIT')
  // A column added later is missing in the rows that were there.
  database.exec(
    `ALTER TABLE plain ADD COLUMN later TEXT DEFAULT 'added'; ALTER TABLE keyed ADD COLUMN rate REAL DEFAULT 5`,
  )
  database.exec(`INSERT INTO plain (rowid, a) VALUES (4611686018427387905, 'far'); ANALYZE`)
  database.close()
}

const definitions = [
  `CREATE TABLE plain (a, b)`,
  `CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE COLLATE NOCASE, parent INTEGER REFERENCES numbered(id))`,
  `CREATE TABLE keyed (k TEXT, n INTEGER, v, PRIMARY KEY (k, n DESC)) WITHOUT ROWID`,
  `CREATE TABLE strict_one (id INTEGER PRIMARY KEY, anything ANY, real REAL) STRICT`,
  `CREATE TABLE generated (a INTEGER, twice AS (a * 2), thrice AS (a * 3) STORED, CHECK (a < 1000000))`,
  `CREATE TABLE "odd ""name'; --" (rowid, oid, _rowid_, "select" BLOB)`,
  `CREATE TABLE big (id INTEGER PRIMARY KEY, data BLOB)`,
  `CREATE TABLE empty_one (a)`,
  `CREATE TABLE log (what)`,
  `CREATE INDEX partial ON plain (a) WHERE a > 5`,
  `CREATE INDEX expression ON numbered (lower(name), id DESC)`,
  `CREATE TRIGGER noted AFTER INSERT ON numbered BEGIN INSERT INTO log VALUES (new.name); END`,
  `CREATE TRIGGER dropped BEFORE DELETE ON plain BEGIN INSERT INTO log VALUES ('deleted'); END`,
  `CREATE VIEW seen AS SELECT name FROM numbered JOIN unknown_table`,
  `CREATE VIRTUAL TABLE words USING fts5(body)`,
  `CREATE VIRTUAL TABLE places USING rtree(id, x0, x1)`,
]

const rows = [
  `INSERT INTO plain VALUES (1, 2), (x'00ff', NULL), (-0.0, 9e999), (-9e999, 1.5), ('nul' || char(0) || 'inside', CAST(x'fffe41' AS TEXT))`,
  `INSERT INTO plain VALUES (9223372036854775807, -9223372036854775808), ('', x''), ('emoji 🐘', '''quoted''')`,
  `DELETE FROM plain WHERE rowid = 2`,
  `INSERT INTO numbered (name) VALUES ('first'), ('second'), ('third')`,
  `UPDATE numbered SET parent = 99 WHERE id = 2`,
  `DELETE FROM numbered WHERE id = 3`,
  `INSERT INTO keyed VALUES ('a', 1, 2.0), ('a', 2, 'x'), ('B', 0, NULL)`,
  `INSERT INTO strict_one VALUES (1, -0.0, 3), (2, 'text', 2.5), (-5, x'01', NULL)`,
  `INSERT INTO generated (a) VALUES (1), (2), (NULL)`,
  `INSERT INTO "odd ""name'; --" VALUES (1, 2, 3, x'04'), ('x', 'y', 'z', NULL)`,
  `INSERT INTO big VALUES (1, zeroblob(100000)), (2, randomblob(250000)), (3, x'')`,
  `INSERT INTO words VALUES ('hello world'), ('good bye')`,
  `INSERT INTO places VALUES (1, 0.5, 1.5), (7, -3, 4)`,
  `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
     INSERT INTO numbered (name) SELECT 'name ' || i FROM c`,
]

/** Adds, changes and removes in many ways; each seed in another. */
export function changeOddDatabase(file: string, seed: number): void {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 30_000 })
  database.exec(`
    BEGIN;
    UPDATE plain SET b = ${seed} WHERE rowid = 1;
    DELETE FROM numbered WHERE id % 7 = ${seed % 7};
    INSERT INTO numbered (name) VALUES ('new ${seed}');
    UPDATE keyed SET v = ${seed}.5;
    UPDATE strict_one SET anything = 0.0 WHERE id = 1;
    UPDATE big SET data = randomblob(250000) WHERE id = 2;
    DELETE FROM words WHERE body LIKE 'hello%';
    INSERT INTO words VALUES ('number ${seed}');
    DELETE FROM places WHERE id = 7;
    DROP TABLE IF EXISTS empty_one;
    DROP VIEW IF EXISTS seen;
    DROP TRIGGER noted;
    CREATE TRIGGER noted AFTER UPDATE ON numbered BEGIN SELECT ${seed}; END;
    DROP INDEX IF EXISTS partial;
    CREATE TABLE new_${seed} (id INTEGER PRIMARY KEY, t);
    INSERT INTO new_${seed} VALUES (${seed}, 'x');
    CREATE INDEX new_index_${seed} ON plain (b);
    ALTER TABLE generated ADD COLUMN extra_${seed};
    PRAGMA user_version = ${100 + seed};
    COMMIT`)
  database.close()
}
