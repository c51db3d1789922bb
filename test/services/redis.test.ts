import { describeDriver } from '../contract/service-driver.ts'
import { createServerSample } from '../samples/redis.ts'

describeDriver({ type: 'redis', title: 'a whole server', create: () => createServerSample() })
