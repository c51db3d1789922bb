import { describe } from 'vitest'
import { describeCrashes, describeSwap, describeWriters } from '../contract/service-driver.ts'
import { createSqliteSample } from '../samples/sqlite.ts'

// The contract's own run is in WAL mode; where the mode of the journal matters, the laws are held in SQLite's default mode too.
describe('the sqlite driver in delete mode', () => {
  const sample = { type: 'sqlite', create: () => createSqliteSample('delete') }
  describeSwap(sample)
  describeCrashes(sample)
  describeWriters(sample)
})
