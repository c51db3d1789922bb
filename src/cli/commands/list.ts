import { formatAge, plural } from '../../domain/format-text.ts'
import { listEnvironments } from '../../usecases/environments.ts'
import { columns, type DefineCommand, historyWorkspace } from '../context.ts'
import { relativePath } from '../paths.ts'

export const define: DefineCommand = (command, context) => {
  command.action(async () => {
    const { output, ports, directory } = context
    const environments = await listEnvironments(await historyWorkspace(context))
    const rows = environments.map((each) => [
      each.current ? '*' : ' ',
      each.name,
      plural(each.snapshots, 'snapshot'),
      each.latest ? `${each.latest.message}, ${formatAge(each.latest.createdAt, ports.now())}` : '',
      each.worktree === undefined || each.current ? '' : relativePath(each.worktree, directory),
    ])
    for (const row of columns(rows, '')) output.line(row)
    output.result(environments)
  })
}
