import { describeDriver } from '../contract/service-driver.ts'
import { createSqliteSample } from '../samples/sqlite.ts'

// The contract's own run is in WAL mode; the laws hold in the default mode of SQLite too.
describeDriver({ type: 'sqlite', create: () => createSqliteSample('delete') })
