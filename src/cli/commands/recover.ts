import { openJournals } from '../../usecases/recover.ts'
import { alone, type DefineCommand, workspaceOf } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .option('--wait', 'wait for another activity to end')
    .addHelpText(
      'after',
      `
Every command that changes something does this first. At boot, it brings an environment to rest that a power loss cut short.`,
    )
    .action(async (options: { wait?: boolean }) => {
      const workspace = await workspaceOf(context)
      const before = (await openJournals(workspace)).length
      await alone(context, workspace, { command: 'recover', wait: options.wait }, async () => {})
      if (before === 0) context.output.line('nothing was cut short')
      context.output.result({ recovered: before })
    })
}
