import type { DriverSample } from '../contract/service-driver.ts'
import { createSearchSample } from './opensearch.ts'

export const sample: DriverSample = {
  type: 'elasticsearch',
  level: 'point',
  stride: 3,
  create: () => createSearchSample('elasticsearch'),
}
