import { printable } from '../../domain/format-text.ts'
import type { Detected, Project, Survey } from '../service-driver.ts'
import { readCompose } from './compose.ts'
import { readDdev } from './ddev.ts'
import { readDotenv, readEnvFile } from './dotenv.ts'
import { readDrupalSettings } from './drupal-settings.ts'
import type { FoundService, ReadSource, ServiceType, Texts } from './found.ts'
import { readLando } from './lando.ts'
import { readMagentoCloud } from './magento-cloud.ts'
import { readMagentoEnv } from './magento-env.ts'
import { mergeServices } from './merge.ts'
import { readPlatform } from './platform.ts'
import { ProjectFiles } from './project-files.ts'
import { type Proposal, propose } from './propose.ts'
import { readRailsDatabase } from './rails-database.ts'
import { readWpConfig } from './wp-config.ts'

/** What runs services comes before what uses them; of the latter, what is most of one application first. */
const sources: readonly (readonly [string, ReadSource])[] = [
  ['compose files', readCompose],
  ['.ddev', readDdev],
  ['.lando.yml', readLando],
  ['Platform.sh files', readPlatform],
  ['Magento Cloud files', readMagentoCloud],
  ['app/etc/env.php', readMagentoEnv],
  ['wp-config.php', readWpConfig],
  ['settings.php', readDrupalSettings],
  ['config/database.yml', readRailsDatabase],
  ['.env', readDotenv],
]

/** The driver of a type, where it is not named after it. */
const drivers: Partial<Record<FoundService['type'], string>> = { mysql: 'mariadb' }

type Finds = { readonly proposals: readonly Proposal[]; readonly notes: readonly string[] }

const finds = new WeakMap<Project, Finds>()

/** What the project's files say of services. Reads once for one project. */
function findServices(project: Project): Finds {
  const known = finds.get(project)
  if (known) return known
  const process = project.variables ?? {}
  const env = new Map<string, string>()
  const files = new ProjectFiles(project, (name) => env.get(name) ?? process[name])
  for (const [name, { value }] of readEnvFile(files, '.env')) env.set(name, value)
  const proposals = proposeFrom(files, (variable) => env.has(variable) || process[variable] !== undefined)
  const found = {
    proposals: proposals.map((proposal) => withoutVariables(proposal, process, env)),
    notes: [...files.notes].map(printable),
  }
  finds.set(project, found)
  return found
}

/** The same from any texts. */
export function proposeFrom(texts: Texts, isTaken: (variable: string) => boolean): Proposal[] {
  const found = sources.flatMap(([name, read]) => {
    try {
      return read(texts)
    } catch (error) {
      // Whatever a project has in its files must not keep it from being set up by hand.
      texts.note(`${name} cannot be understood: ${error instanceof Error ? error.name : 'failed'}`)
      return []
    }
  })
  return propose(mergeServices(found), isTaken)
}

/** What only this process's environment holds is not a file's secret: it stays there. */
function withoutVariables(
  proposal: Proposal,
  process: NonNullable<Project['variables']>,
  env: ReadonlyMap<string, string>,
): Proposal {
  const { detected } = proposal
  if (!detected?.secrets) return proposal
  const kept = Object.entries(detected.secrets).filter(([name]) => process[name] === undefined || env.has(name))
  const { secrets: _, ...rest } = detected
  return { ...proposal, detected: kept.length > 0 ? { ...rest, secrets: Object.fromEntries(kept) } : rest }
}

/** For a driver's `detect`: what of these types the project's files name, with all that a configuration needs. */
export async function detectServers(project: Project, types: readonly ServiceType[]): Promise<readonly Detected[]> {
  return findServices(project).proposals.flatMap(({ type, detected }) =>
    detected && types.some((each) => each === type) ? [detected] : [],
  )
}

/** What the project's files name and no driver's `detect` gives. */
export async function surveyServices(project: Project, driverTypes: readonly string[]): Promise<Survey> {
  const { proposals, notes } = findServices(project)
  const seen = proposals.flatMap(({ type, name, source, detected, lacks }) => {
    const isSupported = type === 'sql' || driverTypes.includes(drivers[type] ?? type)
    if (isSupported && detected) return []
    return [{ type: type === 'sql' ? 'database' : type, name, source, ...(isSupported ? { lacks: lacks! } : {}) }]
  })
  return { seen, notes }
}
