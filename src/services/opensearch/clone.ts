import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import type { IndexDefinition } from './definitions.ts'
import { at } from './exact-json.ts'
import { countDocuments, dropIndex, refresh } from './indices.ts'

const replicas = ['number_of_replicas', 'auto_expand_replicas']

/** Clones an index whose writers are blocked. A clone that an earlier attempt left is made anew: it may be older. */
export async function cloneIndex(
  client: Client,
  from: string,
  to: string,
  { settings }: IndexDefinition,
): Promise<void> {
  await dropIndex(client, to)
  const answer = await client.json('POST', `/${encodeURIComponent(from)}/_clone/${encodeURIComponent(to)}`, {
    query: { wait_for_active_shards: '1', timeout: '60s' },
    // The only settings that a clone does not take over.
    body: {
      settings: Object.fromEntries(
        replicas.flatMap((key) => (settings[key] === undefined ? [] : [[`index.${key}`, settings[key]]])),
      ),
    },
  })
  if (at(answer, 'shards_acknowledged') !== true) throw failed(client, from)
  await refresh(client, [from, to])
  const [have, want] = [await countDocuments(client, to), await countDocuments(client, from)]
  if (have !== want || want < 0) throw failed(client, from)
}

function failed(client: Client, from: string): EnvError {
  return new EnvError('unavailable', `${client.server.name}: ${from} could not be cloned, so it cannot be set aside`, {
    hint: 'look at the health of the cluster and at its free space, then run the command again',
  })
}
