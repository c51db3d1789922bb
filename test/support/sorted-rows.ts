/** What pg_dump says, the rows of each table sorted; not the tokens that it makes anew each time. */
export function sortedRows(dump: string): string[] {
  const lines = dump.split('\n').filter((line) => !/^\\(un)?restrict /.test(line))
  const sorted: string[] = []
  for (let i = 0; i < lines.length; i++) {
    sorted.push(lines[i]!)
    if (!/^COPY .* FROM stdin;$/.test(lines[i]!)) continue
    const end = lines.indexOf('\\.', i)
    for (const row of lines.slice(i + 1, end).sort()) sorted.push(row)
    i = end - 1
  }
  return sorted
}
