import { Document, isScalar, visit, YAMLMap } from 'yaml'
import type { Detected } from '../services/service-driver.ts'

export type Proposed = Pick<Detected, 'name' | 'config' | 'reason'> & {
  readonly type: string
  readonly kind: 'service' | 'mount'
}

/** The text of a new configuration: what was found, each with the reason as a comment, and how to add what was not. */
export function configText(found: readonly Proposed[]): string {
  const document = new Document({})
  document.commentBefore = [
    ' What git-env saves with every snapshot of a branch: the data of services and the folders of uploaded files.',
    ' Code is in Git already. Paths are relative to this file.',
  ].join('\n')
  for (const [section, kind] of [
    ['services', 'service'],
    ['mounts', 'mount'],
  ] as const) {
    const map = new YAMLMap()
    for (const { name, type, config, reason } of found.filter((each) => each.kind === kind)) {
      const value =
        kind === 'service' ? { type, ...config } : Object.keys(config).length === 1 ? config['path'] : config
      const pair = document.createPair(name, value)
      if (isScalar(pair.key)) pair.key.commentBefore = ` ${reason}`
      map.items.push(pair)
    }
    if (map.items.length === 0) map.comment = examples[kind]
    document.set(section, map)
  }
  visit(document, {
    Seq(_, list) {
      list.flow = true
    },
  })
  return document.toString({ flowCollectionPadding: false, lineWidth: 0 })
}

const examples = {
  service: ' for example:\n   app: { type: sqlite, path: data/app.sqlite }',
  mount: ' for example:\n   media: uploads',
}
