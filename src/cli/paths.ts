import path from 'node:path'

/** A path as a person in this folder would type it; absolute when that is shorter to read. */
export function relativePath(file: string, directory: string): string {
  const relative = path.relative(directory, file)
  if (relative === '') return '.'
  return relative.startsWith('../../') ? file : relative
}
