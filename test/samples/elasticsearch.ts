import type { DriverSample } from '../contract/service-driver.ts'
import { createSearchSample } from './opensearch.ts'

export const sample: DriverSample = {
  type: 'elasticsearch',
  level: 'point',
  create: () => createSearchSample('elasticsearch'),
}
