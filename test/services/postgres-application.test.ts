import { describe } from 'vitest'
import { describeCrashes, describeSwap } from '../contract/service-driver.ts'
import { createApplicationSample } from '../samples/postgres.ts'

describe('the postgres driver, as a user who owns one schema and nothing else', () => {
  const sample = { type: 'postgres', stride: 3, create: createApplicationSample }
  describeSwap(sample)
  describeCrashes(sample)
})
