import type { Content } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'

const streamName = 'dump'

export function dumpRecord(name: string, content: Content): ServiceRecord {
  return {
    name,
    kind: 'service',
    type: 'command',
    presence: 'present',
    level: 'live',
    live: [streamName],
    bytes: content.bytes,
    files: 0,
    streams: [{ name: streamName, kind: 'bytes', content }],
    objects: [{ name: streamName, kind: 'dump', rows: 0, digest: content.sha256 }],
    versions: {},
    facts: {},
  }
}

export function dumpOf(record: ServiceRecord): Content {
  const stream = record.streams.find(({ name, kind }) => name === streamName && kind === 'bytes')
  if (!stream) throw new EnvError('damaged', `the record of ${record.name} holds no dump`)
  return stream.content
}
