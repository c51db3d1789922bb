import { styleText } from 'node:util'
import { EnvError } from '../../domain/errors.ts'
import { plural, printable } from '../../domain/format-text.ts'
import { doctor } from '../../usecases/doctor.ts'
import { configuredWorkspace, type DefineCommand } from '../context.ts'

const marks = {
  ok: styleText('green', 'ok     '),
  warning: styleText('yellow', 'warning'),
  problem: styleText('red', 'problem'),
}

export const define: DefineCommand = (command, context) => {
  command.action(async () => {
    const { output } = context
    const findings = await doctor(await configuredWorkspace(context))
    for (const { level, subject, text, hint } of findings) {
      output.line(`${marks[level]}  ${printable(subject)}: ${printable(text)}`)
      if (hint !== undefined) output.line(`         ${level === 'ok' ? 'would give more: ' : ''}${hint}`)
    }
    output.result(findings)
    const problems = findings.filter((finding) => finding.level === 'problem').length
    if (problems > 0) throw new EnvError('refused', `${plural(problems, 'problem')} found`)
  })
}
