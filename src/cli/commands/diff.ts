import { diff } from '../../usecases/diff.ts'
import { snapshotNames } from '../../usecases/resolve-snapshot.ts'
import { configuredWorkspace, type DefineCommand, list } from '../context.ts'
import { printDifferences } from '../differences.ts'

type Options = { stat?: boolean; all?: boolean; only?: string[] }

export const define: DefineCommand = (command, context) => {
  command
    .argument('[from]', snapshotNames, 'latest')
    .argument('[to]', 'another snapshot; without it, what is there now')
    .option('--stat', 'totals per service only')
    .option('--all', 'every table and file, however many, and each file of a folder that came or went')
    .option('--only <services>', 'only these services and mounts', list)
    .action(async (from: string, to: string | undefined, options: Options) => {
      const workspace = await configuredWorkspace(context)
      const result = await diff(workspace, { from, to, ...(options.only ? { only: options.only } : {}) })
      printDifferences(context.output, result, {
        lines: options.stat ? 0 : options.all ? Number.POSITIVE_INFINITY : 40,
      })
      context.output.result(result)
    })
}
