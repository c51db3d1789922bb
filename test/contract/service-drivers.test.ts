import { driverTypes } from '../../src/services/registry.ts'
import { type DriverSample, describeDriver } from './service-driver.ts'

for (const type of driverTypes()) {
  const { sample }: { sample: DriverSample } = await import(`../samples/${type}.ts`)
  describeDriver(sample)
}
