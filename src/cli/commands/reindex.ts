import { plural } from '../../domain/format-text.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import { type DefineCommand, workspaceOf } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .addHelpText(
      'after',
      `
Finds every snapshot commit in the history of all branches and makes its reference again: after a clone, a rebase, a lost reference.`,
    )
    .action(async () => {
      const { git } = await workspaceOf(context)
      const result = await git.reindex()
      context.output.line(`${plural(result.created.length, 'snapshot')} found again, ${result.known} known`)
      for (const id of result.created) context.output.line(`  ${shortId(id)}`)
      for (const commit of result.mentions)
        context.output.line(`  ${commit.slice(0, 12)} mentions a snapshot but is none`)
      context.output.result(result)
    })
}
