import type { Detected, Project } from '../service-driver.ts'

const usualIndexes = 16

/** What the project's files name, each index with a spare one of its own: the highest that none of them uses. */
export async function detectIndexes(project: Project): Promise<readonly Detected[]> {
  const { detectServers } = await import('../detection/find-services.ts')
  const found = await detectServers(project, ['redis'])
  const indexes = found.map(({ config }) => indexOf(String(config['url'])))
  const used = new Set(indexes)
  return found.map((detected, nr) => {
    if (indexes[nr] === undefined) return detected
    const spare = Array.from({ length: usualIndexes }, (_, index) => usualIndexes - 1 - index).find(
      (index) => !used.has(index),
    )
    if (spare === undefined) return detected
    used.add(spare)
    return { ...detected, config: { ...detected.config, spare } }
  })
}

function indexOf(url: string): number | undefined {
  const index = /^[a-z]+:\/\/[^/?#]*\/(\d+)(?:[?#]|$)/i.exec(url)?.[1]
  return index === undefined ? undefined : Number(index)
}
