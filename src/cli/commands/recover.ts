import { alone, type DefineCommand, workspaceOf } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .addHelpText(
      'after',
      `
Every command that changes something does this first. At boot, it brings an environment to rest that a power loss cut short.`,
    )
    .action(async () => {
      const workspace = await workspaceOf(context)
      const before = (await workspace.state.journals()).length
      await alone(context, workspace, { command: 'recover' }, async () => {})
      if (before === 0) context.output.line('nothing was cut short')
      context.output.result({ recovered: before })
    })
}
