import type { SampleWriter } from '../contract/service-driver.ts'
import { database } from './odd-mongodb.ts'
import { encode } from './servers/mongodb/bson.ts'
import { Data } from './servers/mongodb/data.ts'
import { startWriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/** A process that puts documents 1, 2, 3, … into a collection by its name, and reports each that was acknowledged. */
export async function startMongoWriter(socketPath: string): Promise<SampleWriter> {
  return startWriterProcess(import.meta.url, socketPath)
}

async function write(socketPath: string, { isStopping, tell }: Writing): Promise<void> {
  const data = new Data(socketPath)
  for (let number = 1; !isStopping(); number++) {
    data.atOnce(() => data.upsert(database, 'written', encode({ _id: number })))
    tell({ number })
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  data.close()
}

writeWhenAsked(write)
