import { createInterface } from 'node:readline'
import { errorData } from '../../usecases/error-data.ts'
import { guard } from '../../usecases/guard.ts'
import type { GuardMessage } from '../../usecases/ports.ts'
import { type Context, type DefineCommand, workspaceOf } from '../context.ts'

/** Not for people: started by restore and undo. Its last line on standard output is its message. */
export const define: DefineCommand = (command, context) => {
  command.argument('<journal>').action(async (id: string) => {
    process.stdout.on('error', () => {})
    const words = new Set<string>()
    const input = createInterface({ input: process.stdin })
    // It may begin only when the lock names it; a command that died before that is recovered by the next one.
    const mayBegin = new Promise<boolean>((resolve) => {
      input.on('line', (word) => {
        words.add(word)
        if (word === 'go') resolve(true)
      })
      input.on('close', () => resolve(words.has('go')))
    })
    if (!(await mayBegin)) return
    const message = await work(context, id, () => words.has('cancel') || context.ports.signal.aborted)
    input.close()
    process.stdout.write(`${JSON.stringify(message)}\n`)
  })
}

async function work(context: Context, id: string, isCancelled: () => boolean): Promise<GuardMessage> {
  try {
    return await guard(await workspaceOf(context), id, isCancelled)
  } catch (error) {
    return { done: false, error: errorData(error) }
  }
}
