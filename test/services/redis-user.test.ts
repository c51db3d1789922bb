import { describeDriver } from '../contract/service-driver.ts'
import { createIndexSample, applicationRights as rights } from '../samples/redis.ts'

describeDriver({
  type: 'redis',
  title: 'one index, by a user of its own',
  stride: 3,
  create: () => createIndexSample({ user: { name: 'app/user:1', password: 'p@ss/w:o"r\'d\\ %41 \u00e4#?&', rights } }),
})
