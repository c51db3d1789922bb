import { shortId } from '../../domain/snapshot-id.ts'
import { exportSnapshot } from '../../usecases/export.ts'
import { configuredWorkspace, type DefineCommand } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .argument('<snapshot>')
    .argument('<file>', 'a tar archive to write')
    .addHelpText(
      'after',
      `
The archive holds the files of mounts as they are, and databases as files that their own tools open.`,
    )
    .action(async (name: string, file: string) => {
      const manifest = await exportSnapshot(await configuredWorkspace(context), name, file)
      context.output.line(`exported ${shortId(manifest.id)} to ${file}`)
      context.output.result({ id: manifest.id, file })
    })
}
