import { printable } from '../../domain/format-text.ts'
import { type InitResult, init } from '../../usecases/init.ts'
import { localFileName } from '../../usecases/local-variables.ts'
import { alone, type Context, columns, type DefineCommand, workspaceOf } from '../context.ts'
import type { Output } from '../output.ts'
import { relativePath } from '../paths.ts'

export const define: DefineCommand = (command, context) => {
  command
    .addHelpText(
      'after',
      `
Writes .git-env.yaml from what the project has (compose files, .ddev, .lando.yml, Platform.sh and Magento Cloud files, the configuration of
Magento, WordPress, Drupal and Rails, .env, SQLite files, upload folders), unless there is one, and makes the store in the Git folder, unless
there is one. Passwords go into .git-env.local, which git ignores.
Safe to run again, and to run in a new clone.`,
    )
    .action(async () => {
      const workspace = await workspaceOf(context)
      const result = await alone(context, workspace, { command: 'init' }, () => init(workspace))
      print(context, result)
      const { configFile, configWritten, storeCreated, storeLocation, found, survey, local, unset, consent } = result
      context.output.result({
        ...{ configFile, configWritten, storeCreated, storeLocation, found },
        ...{ seen: survey.seen, passedOver: survey.notes, local, unset, consent },
      })
    })
}

function print({ output, directory }: Context, result: InitResult): void {
  const config = relativePath(result.configFile, directory)
  if (result.configWritten) printFound(output, config, result)
  else output.line(`${config} is there`)
  printLocal(output, result)
  const store = relativePath(result.storeLocation, directory)
  output.line(result.storeCreated ? `made the store ${store}` : `the store ${store} is there`)
  for (const each of result.found.filter((found) => !found.ignored)) {
    output.warn(
      `${String(each.config['path'])} is not ignored by git: add it to .gitignore, so that data is not committed with the code`,
    )
  }
  for (const note of result.survey.notes) output.warn(`passed over: ${printable(note)}`)
  for (const name of result.unset) {
    output.hint(`${name} is not set: set it in the environment, or in ${localFileName} (a line ${name}=…)`)
  }
  for (const line of result.consent) output.hint(`needs git env allow: ${printable(line)}`)
  if (result.configWritten) output.hint(`look at ${config} and commit it; then: git env snapshot -m "first"`)
}

function printFound(output: Output, config: string, { found, survey }: InitResult): void {
  output.line(`wrote ${config}`)
  const rows = found.map(({ name, type, config: settings, reason }) => [
    name,
    type,
    String(settings['path'] ?? settings['url'] ?? ''),
    reason,
  ])
  for (const row of columns(rows)) output.line(row)
  if (found.length === 0) output.line('  nothing was found: add your services and mounts to it')
  for (const { type, name, source, lacks } of survey.seen) {
    const why = lacks === undefined ? `git-env does not support ${type} yet` : lacks
    output.line(printable(`  not in it: ${name} (${type}, ${source}): ${why}`))
  }
}

function printLocal(output: Output, { local }: InitResult): void {
  if (local.ignoreWritten) output.line(`added ${localFileName} to .gitignore`)
  if (local.written.length > 0) output.line(`wrote ${local.written.join(', ')} to ${localFileName}`)
  for (const name of local.kept) output.warn(`${name} is in ${localFileName} with another value, which stays`)
  for (const { name, reason } of local.leftOut) output.warn(`${name} was not written: ${reason}`)
}
