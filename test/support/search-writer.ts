import type { SampleWriter } from '../contract/service-driver.ts'
import { startWriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/** A process that adds documents 1, 2, 3, … to an index by its name, and reports each that was acknowledged. What is refused it tries again. */
export async function startSearchWriter(url: string): Promise<SampleWriter> {
  return startWriterProcess(import.meta.url, url)
}

async function write(url: string, { isStopping, tell }: Writing): Promise<void> {
  for (let number = 1; !isStopping(); ) {
    const answer = await fetch(`${url}/_doc/${number}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: `{"number":${number}}`,
    }).catch(() => undefined)
    if (answer?.ok) tell({ number: number++ })
    await answer?.arrayBuffer()
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

writeWhenAsked(write)
