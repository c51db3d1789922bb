import { shortId } from '../../domain/snapshot-id.ts'
import { exportSnapshot } from '../../usecases/export.ts'
import { configuredWorkspace, type DefineCommand } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .argument('<snapshot>')
    .argument('<file>', 'a tar archive to write')
    .option('-f, --force', 'replace the file if it is there')
    .addHelpText(
      'after',
      `
The archive holds the files of mounts as they are, and databases as files that their own tools open.`,
    )
    .action(async (snapshot: string, file: string, options: { force?: boolean }) => {
      const request = { snapshot, file, replace: options.force ?? false }
      const manifest = await exportSnapshot(await configuredWorkspace(context), request)
      context.output.line(`exported ${shortId(manifest.id)} to ${file}`)
      context.output.result({ id: manifest.id, file })
    })
}
