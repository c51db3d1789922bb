import { describe } from 'vitest'
import { describeCrashes, describeSwap, describeWriters } from '../contract/service-driver.ts'
import { createPostgresSample } from '../samples/postgres.ts'

// The contract's own run changes definitions too, so that databases are exchanged; here rows alone differ, and are changed in place.
describe('the postgres driver, rows within the live database', () => {
  const sample = { type: 'postgres', create: () => createPostgresSample('stay') }
  describeSwap(sample)
  describeCrashes(sample)
  describeWriters(sample)
})
