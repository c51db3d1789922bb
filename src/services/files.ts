import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { bytePath } from '../domain/tree.ts'
import { removeArea } from './files/area.ts'
import { FilesCapture } from './files/capture.ts'
import { detectMounts } from './files/detect.ts'
import { exportTree } from './files/export.ts'
import { locateMount } from './files/location.ts'
import { foreignBelow, type Mount, Scope } from './files/mount.ts'
import { probeMount } from './files/probe.ts'
import { stagedRoot, stageFiles } from './files/staging.ts'
import { FilesSwap } from './files/swap.ts'
import type { CaptureOptions, Project, Service, ServiceContext, ServiceDriver, StageOptions } from './service-driver.ts'

const schema = v.strictObject({
  /** Absolute, or relative to the project; `{env}` stands for the environment's key. */
  path: v.pipe(v.string(), v.minLength(1)),
  /** Patterns of paths below the mount. One that matches a folder excludes all in it. */
  exclude: v.optional(v.array(v.pipe(v.string(), v.minLength(1)))),
})

/** A folder of files that are not code: uploads, media, what an application writes at run time. */
const files: ServiceDriver<typeof schema> = {
  type: 'files',
  kind: 'mount',
  schema,
  detect: async (project: Project) => detectMounts(project),
  open: async ({ path, exclude = [] }, context) => {
    const root = locateMount(context.nameHere ?? path.replaceAll('{env}', context.environmentKey), context)
    return new FilesService(root, exclude, context)
  },
  export: exportTree,
}

export default files

class FilesService implements Service {
  readonly name: string
  readonly driver: ServiceDriver = files as unknown as ServiceDriver
  readonly resources: readonly string[]
  readonly place: string
  readonly #mount: Mount
  readonly #mountAt: (root: string) => Mount

  constructor(root: string, exclude: readonly string[], context: ServiceContext) {
    this.name = context.name
    this.resources = [root]
    this.place = root
    const { privateDirectory, trace, signal, name } = context
    this.#mountAt = (at) => {
      const scope = new Scope(foreignBelow(at, context.foreign), exclude)
      return { name, root: at, scope, privateDirectory, trace, signal }
    }
    this.#mount = this.#mountAt(bytePath(root))
  }

  probe() {
    return probeMount(this.#mount)
  }

  capture(sink: ContentSink, options: CaptureOptions) {
    return FilesCapture.prepare(this.#mount, sink, options)
  }

  stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions) {
    return stageFiles(this.#mount, target, live, options)
  }

  swap(staged: Staged, source?: ContentSource) {
    return new FilesSwap(this.#mountAt(stagedRoot(staged)), staged, source)
  }

  sweep(id: string) {
    return removeArea(this.#mount, id)
  }

  async close(): Promise<void> {}
}
