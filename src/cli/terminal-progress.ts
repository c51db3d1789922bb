import { formatBytes } from '../domain/format-text.ts'
import type { Progress } from '../usecases/ports.ts'

const redrawMs = 100
/** Without a terminal, only phases that took this long are worth a line. */
const worthALineMs = 5000

/** Shows what goes on, on standard error: one line that is drawn anew on a terminal, a line per long phase elsewhere. */
export class TerminalProgress implements Progress {
  readonly #live: boolean
  readonly #write: (text: string) => void
  #phase: { name: string; total: number | undefined; done: number; startedAt: number } | undefined
  #drawnAt = 0
  #drawn = false

  constructor(options: { readonly live: boolean; readonly write: (text: string) => void }) {
    this.#live = options.live
    this.#write = options.write
  }

  phase(name: string, totalBytes?: number): void {
    if (this.#phase?.name === name) return
    this.end()
    this.#phase = { name, total: totalBytes, done: 0, startedAt: performance.now() }
    this.#drawnAt = performance.now()
  }

  advance(bytes: number): void {
    if (!this.#phase) return
    this.#phase.done += bytes
    if (this.#live && performance.now() - this.#drawnAt >= redrawMs) this.#draw()
  }

  warn(text: string): void {
    this.#clear()
    this.#write(`warning: ${text}\n`)
  }

  end(): void {
    this.#clear()
    const phase = this.#phase
    this.#phase = undefined
    if (!phase || this.#live) return
    const seconds = (performance.now() - phase.startedAt) / 1000
    if (seconds * 1000 >= worthALineMs) {
      this.#write(`${phase.name}: ${phase.done > 0 ? `${formatBytes(phase.done)} in ` : ''}${seconds.toFixed(0)} s\n`)
    }
  }

  #draw(): void {
    const { name, total, done, startedAt } = this.#phase!
    this.#drawnAt = performance.now()
    const rate = done / Math.max(0.001, (this.#drawnAt - startedAt) / 1000)
    const known = total !== undefined && total >= done
    const amount = known ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done)
    const left = known && rate > 0 ? `, ${Math.ceil((total - done) / rate)} s left` : ''
    this.#write(`\r\u001b[K${name}  ${amount}, ${formatBytes(rate)}/s${left}`)
    this.#drawn = true
  }

  #clear(): void {
    if (this.#drawn) this.#write('\r\u001b[K')
    this.#drawn = false
  }
}
