import { bytePath } from '../domain/tree.ts'

/** A byte-string path below a folder (text), for the file system. */
export function below(directory: string, path: string): Buffer {
  return Buffer.from(path === '' ? bytePath(directory) : `${bytePath(directory)}/${path}`, 'latin1')
}

/** A path in double quotes with all but plain characters as octal escapes: how `--stdin-paths` takes names with line breaks. */
export function quotePath(path: string): string {
  const escaped = path.replace(/[^A-Za-z0-9 ._/-]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`)
  return `"${escaped}"`
}

/** The folders that a path lies in, outermost first: `a/b/c` gives `a`, `a/b`. */
export function parentsOf(path: string): string[] {
  const parents: string[] = []
  for (let i = path.indexOf('/'); i !== -1; i = path.indexOf('/', i + 1)) parents.push(path.slice(0, i))
  return parents
}

/** Whether the path or a folder that it lies in is in the set. */
export function isCovered(set: ReadonlySet<string>, path: string): boolean {
  return set.size > 0 && (set.has(path) || parentsOf(path).some((parent) => set.has(parent)))
}
