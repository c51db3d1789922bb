import { type InitResult, init } from '../../usecases/init.ts'
import { alone, type Context, columns, type DefineCommand, workspaceOf } from '../context.ts'
import { relativePath } from '../paths.ts'

export const define: DefineCommand = (command, context) => {
  command
    .addHelpText(
      'after',
      `
Writes .git-env.yaml from what the project has, unless there is one, and makes the store in the Git folder, unless there is one.
Safe to run again, and to run in a new clone.`,
    )
    .action(async () => {
      const workspace = await workspaceOf(context)
      const result = await alone(context, workspace, { command: 'init' }, () => init(workspace))
      print(context, result)
      const { configFile, configWritten, storeCreated, storeLocation, found } = result
      context.output.result({ configFile, configWritten, storeCreated, storeLocation, found })
    })
}

function print({ output, directory }: Context, result: InitResult): void {
  const config = relativePath(result.configFile, directory)
  if (result.configWritten) {
    output.line(`wrote ${config}`)
    const rows = result.found.map(({ name, type, config: settings, reason }) => [
      name,
      type,
      String(settings['path'] ?? ''),
      reason,
    ])
    for (const row of columns(rows)) output.line(row)
    if (result.found.length === 0) output.line('  nothing was found: add your services and mounts to it')
  } else {
    output.line(`${config} is there`)
  }
  const store = relativePath(result.storeLocation, directory)
  output.line(result.storeCreated ? `made the store ${store}` : `the store ${store} is there`)
  for (const each of result.found.filter((found) => !found.ignored)) {
    output.warn(
      `${String(each.config['path'])} is not ignored by git: add it to .gitignore, so that data is not committed with the code`,
    )
  }
  if (result.configWritten) output.hint(`look at ${config} and commit it; then: git env snapshot -m "first"`)
}
