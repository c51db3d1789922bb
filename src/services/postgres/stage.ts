import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap, StageOptions } from '../service-driver.ts'
import type { Link } from './link.ts'
import { StoredDatabase } from './load.ts'
import { stageReplacement } from './replacement-stage.ts'
import { ReplacementSwap } from './replacement-swap.ts'
import { asStaged, fromStaged } from './staged.ts'

export type Staging = { readonly target: ServiceRecord; readonly live: ServiceRecord; readonly options: StageOptions }

export async function stageDatabase(
  link: Link,
  context: ServiceContext,
  { target, options }: Staging,
): Promise<Staged> {
  if (target.presence === 'absent') {
    context.trace(`${context.name}: staged`)
    return asStaged({ way: 'rename', warnings: [], id: options.id, database: link.server.database, freshOid: null })
  }
  return asStaged(await stageReplacement(link, context, new StoredDatabase(target, options.source), options, []))
}

export function openSwap(
  link: Link,
  context: ServiceContext,
  staged: Staged,
  _source: ContentSource | undefined,
): ServiceSwap {
  const plan = fromStaged(staged)
  if (plan.way === 'rename') return new ReplacementSwap(link, context, plan)
  throw new EnvError('refused', `${context.name}: this restore was staged by another version of git-env`)
}
