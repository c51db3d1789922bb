import { executeRestore } from '../../usecases/restore.ts'
import { planUndo } from '../../usecases/undo.ts'
import { alone, configuredWorkspace, type DefineCommand, workspaceOf } from '../context.ts'
import { printRestored } from './restore.ts'

export const define: DefineCommand = (command, context) => {
  command
    .option('--redo', 'take the last undo back')
    .option('--wait', 'wait for another activity to end')
    .addHelpText(
      'after',
      `
Brings back what was there at the moment of the last restore: data, files, code, also what was not committed.
A second undo goes one restore further back. Nothing is lost by it: --redo brings back what was there at the undo.`,
    )
    .action(async (options: { redo?: boolean; wait?: boolean }) => {
      await alone(context, await workspaceOf(context), { command: 'undo', wait: options.wait }, async () => {
        // Opened now: what ran before may have changed branch and configuration.
        const workspace = await configuredWorkspace(context)
        const plan = await planUndo(workspace, { redo: options.redo ?? false })
        try {
          printRestored(context, plan, await executeRestore(plan))
        } finally {
          await plan.close()
        }
      })
    })
}
