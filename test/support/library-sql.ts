/**
 * A lending library as an SQL script, as one would feed it to the client: six tables that refer to each other, one of them to itself, some
 * 4,000 rows with accents, quotes, decimals, dates and NULLs. The same rows each time.
 */
export function librarySql(dialect: 'mysql' | 'postgres'): string {
  const q = dialect === 'mysql' ? '`' : '"'
  const name = (text: string) => q + text + q
  const text = (value: string) => `'${value.replaceAll("'", "''")}'`
  const table = (title: string, columns: readonly string[]) =>
    `CREATE TABLE ${name(title)} (\n  ${columns.map((column) => column.replaceAll(/"([^"]*)"/g, (_, word: string) => name(word))).join(',\n  ')}\n);`
  const insert = (title: string, rows: readonly string[]) => {
    const parts: string[] = []
    for (let i = 0; i < rows.length; i += 500) {
      parts.push(`INSERT INTO ${name(title)} VALUES\n  ${rows.slice(i, i + 500).join(',\n  ')};`)
    }
    return parts.join('\n')
  }
  const times = <T>(count: number, row: (i: number) => T) => Array.from({ length: count }, (_, i) => row(i + 1))
  const day = (i: number) => new Date(Date.UTC(2020, 0, 1 + (i % 2000))).toISOString().slice(0, 10)
  return [
    table('Author', ['"AuthorId" INT PRIMARY KEY', '"Name" VARCHAR(120)']),
    table('Staff', [
      '"StaffId" INT PRIMARY KEY',
      '"Name" VARCHAR(40) NOT NULL',
      '"ReportsTo" INT',
      '"Born" TIMESTAMP NULL',
      'CONSTRAINT "FK_StaffReportsTo" FOREIGN KEY ("ReportsTo") REFERENCES "Staff" ("StaffId")',
    ]),
    table('Book', [
      '"BookId" INT PRIMARY KEY',
      '"Title" VARCHAR(200) NOT NULL',
      '"AuthorId" INT NOT NULL',
      '"Price" NUMERIC(10,2) NOT NULL',
      '"Abstract" TEXT',
      'CONSTRAINT "FK_BookAuthorId" FOREIGN KEY ("AuthorId") REFERENCES "Author" ("AuthorId")',
    ]),
    table('Member', [
      '"MemberId" INT PRIMARY KEY',
      '"Name" VARCHAR(60) NOT NULL',
      '"Street" VARCHAR(70)',
      '"AdvisorId" INT',
      'CONSTRAINT "FK_MemberAdvisorId" FOREIGN KEY ("AdvisorId") REFERENCES "Staff" ("StaffId")',
    ]),
    table('Loan', [
      '"MemberId" INT NOT NULL',
      '"BookId" INT NOT NULL',
      '"Since" DATE NOT NULL',
      '"Fee" NUMERIC(6,2)',
      'CONSTRAINT "PK_Loan" PRIMARY KEY ("MemberId", "BookId")',
      'CONSTRAINT "FK_LoanMemberId" FOREIGN KEY ("MemberId") REFERENCES "Member" ("MemberId")',
      'CONSTRAINT "FK_LoanBookId" FOREIGN KEY ("BookId") REFERENCES "Book" ("BookId")',
    ]),
    table('Shelf', ['"ShelfId" INT PRIMARY KEY', '"Label" VARCHAR(120)']),
    `CREATE INDEX ${name('IFK_BookAuthorId')} ON ${name('Book')} (${name('AuthorId')});`,
    insert(
      'Author',
      times(150, (i) => `(${i}, ${text(`${['Zoë', "O'Hara", 'Łukasz', 'Ana', 'Jürgen'][i % 5]} ${i}`)})`),
    ),
    insert(
      'Staff',
      times(12, (i) => `(${i}, 'Keeper ${i}', ${i === 1 ? 'NULL' : (i >> 1).toString()}, '${day(i * 37)} 07:30:00')`),
    ),
    insert(
      'Book',
      times(1200, (i) => {
        const abstract = i % 4 === 0 ? 'NULL' : text(`“Part ${i}”; its author's words. `.repeat(i % 30))
        return `(${i}, ${text(`The ${i}th % of _ \u{1f4d6}`)}, ${1 + (i % 150)}, ${(i % 90) + 0.99}, ${abstract})`
      }),
    ),
    insert(
      'Member',
      times(300, (i) => {
        return `(${i}, 'Member ${i}', ${i % 3 ? text(`Rue de l'Église ${i}`) : 'NULL'}, ${1 + (i % 12)})`
      }),
    ),
    insert(
      'Loan',
      times(2400, (i) => {
        return `(${1 + (i % 300)}, ${1 + ((i * 7 + Math.floor(i / 300)) % 1200)}, '${day(i)}', ${i % 5 ? 'NULL' : '1.50'})`
      }),
    ),
    insert(
      'Shelf',
      times(18, (i) => `(${i}, 'Shelf ${i}')`),
    ),
  ].join('\n')
}
