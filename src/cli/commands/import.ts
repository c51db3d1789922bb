import { shortId } from '../../domain/snapshot-id.ts'
import { importSnapshot } from '../../usecases/import.ts'
import { alone, configuredWorkspace, type DefineCommand } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command.argument('<file>', 'an archive that git env export wrote').action(async (file: string) => {
    const workspace = await configuredWorkspace(context)
    const manifest = await alone(context, workspace, { command: 'import' }, () => importSnapshot(workspace, file))
    context.output.line(`imported ${shortId(manifest.id)} of ${manifest.environment}`)
    context.output.hint(`git env restore ${shortId(manifest.id)}`)
    context.output.result({ id: manifest.id })
  })
}
