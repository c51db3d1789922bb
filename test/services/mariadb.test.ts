import { describeDriver } from '../contract/service-driver.ts'
import { createMariadbSample } from '../samples/mariadb.ts'

describeDriver({
  type: 'mariadb',
  title: 'by a user who owns one database',
  stride: 3,
  create: () => createMariadbSample({ user: 'owner' }),
})
