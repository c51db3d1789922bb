import { EnvError } from '../../domain/errors.ts'
import { formatBytes, plural } from '../../domain/format-text.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import { verify } from '../../usecases/verify.ts'
import { type DefineCommand, historyWorkspace } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .option('--data', 'read every stored byte')
    .addHelpText(
      'after',
      `
Without --data it looks whether everything is there; with it, whether every byte of it is what was stored.`,
    )
    .action(async (options: { data?: boolean }) => {
      const { output } = context
      const report = await verify(await historyWorkspace(context), { data: options.data ?? false })
      const read = options.data ? `, ${formatBytes(report.bytesRead)} read` : ''
      output.line(`${plural(report.manifests, 'snapshot')}, ${plural(report.packs, 'pack')}${read}`)
      for (const damage of report.damages) {
        const hit = damage.snapshots.map(shortId).join(', ') || 'no snapshot'
        output.line(`  damaged: ${damage.object}: ${damage.reason}; hits ${hit}`)
      }
      if (report.missing.length > 0) {
        output.warn(`the data of ${plural(report.missing.length, 'snapshot')} in Git is not in this store`)
      }
      output.result(report)
      if (report.damages.length > 0) {
        throw new EnvError('damaged', `${plural(report.damages.length, 'object')} of the store is damaged or missing`, {
          hint: 'other snapshots can be restored; a new snapshot writes what is missing again, where the data is still there',
        })
      }
      output.line(report.missing.length > 0 ? 'no damage found in what is here' : 'no damage found')
    })
}
