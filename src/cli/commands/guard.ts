import { createInterface } from 'node:readline'
import { guard } from '../../usecases/guard.ts'
import { type DefineCommand, workspaceOf } from '../context.ts'

/** Not for people: started by restore and undo. Its last line on standard output is its message. */
export const define: DefineCommand = (command, context) => {
  command.argument('<journal>').action(async (id: string) => {
    let cancelled = false
    process.stdout.on('error', () => {})
    const input = createInterface({ input: process.stdin })
    input.on('line', () => {
      cancelled = true
    })
    const message = await guard(await workspaceOf(context), id, () => cancelled)
    input.close()
    process.stdout.write(`${JSON.stringify(message)}\n`)
  })
}
