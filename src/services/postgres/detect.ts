import type { Detected, Project } from '../service-driver.ts'

export async function detectDatabases(_project: Project): Promise<Detected[]> {
  return []
}
