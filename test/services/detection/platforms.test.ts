import { describe, expect, test } from 'vitest'
import { proposalFor } from '../../support/project-texts.ts'

describe('DDEV', () => {
  test('its database is in a container named after the project', () => {
    const files = {
      '.ddev/config.yaml': `
name: my-shop
type: magento2
docroot: pub
php_version: "8.3"
database:
  type: mariadb
  version: "10.6"
upload_dirs: [media]
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .ddev/config.yaml:6 runs mariadb:10.6
        db:
          type: mariadb
          url: mysql://db:\${DB_PASSWORD}@127.0.0.1/db
          run: [docker, exec, -i, ddev-my-shop-db]
      DB_PASSWORD='db'"
    `)
  })

  test('a port of this machine is the way in, and the local file counts', () => {
    const files = {
      '.ddev/config.yaml': 'name: portal\ndatabase: { type: postgres, version: 16 }\n',
      '.ddev/config.local.yaml': 'host_db_port: "54320"\n',
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .ddev/config.yaml:2 runs postgres:16
        db:
          type: postgres
          url: postgres://db:\${DB_PASSWORD}@127.0.0.1:54320/db
      DB_PASSWORD='db'"
    `)
  })

  test('a project without a database has none', () => {
    expect(proposalFor({ '.ddev/config.yaml': 'name: a\nomit_containers: [db]\n' })).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }"
    `)
  })
})

describe('Lando', () => {
  test('a recipe brings a database', () => {
    const files = {
      '.lando.yml': 'name: My Site\nrecipe: drupal10\nconfig:\n  webroot: web\n  database: "mariadb:10.6"\n',
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .lando.yml:2 runs mariadb:10.6
        database:
          type: mariadb
          url: mysql://drupal10:\${DATABASE_PASSWORD}@127.0.0.1/drupal10
          run: [docker, exec, -i, mysite_database_1]
      DATABASE_PASSWORD='drupal10'"
    `)
  })

  test('services have logins of their own', () => {
    const files = {
      '.lando.yml': `
name: shop
services:
  appserver: { type: "php:8.3" }
  store:
    type: mysql:8.0
    portforward: 33061
    creds: { user: shop, password: "p w", database: shop }
  pg: { type: "postgres:16" }
  cache: { type: "redis:7" }
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .lando.yml:5 runs mysql:8.0
        store:
          type: mysql
          url: mysql://shop:\${STORE_PASSWORD}@127.0.0.1:33061/shop
        # .lando.yml:9 runs postgres:16
        pg:
          type: postgres
          url: postgres://postgres@127.0.0.1/database
          run: [docker, exec, -i, shop_pg_1]
        # .lando.yml:10 runs redis:7
        cache:
          type: redis
          url: redis://127.0.0.1/
          run: [docker, exec, -i, shop_cache_1]
      STORE_PASSWORD='p w'"
    `)
  })
})

describe('Platform.sh and Upsun', () => {
  test('relationships say how the application reaches a service there', () => {
    const files = {
      '.platform/services.yaml': `
db:
  type: mysql:10.11
  disk: 2048
reports:
  type: postgresql:15
  disk: 512
shared:
  type: mariadb:11.4
  configuration:
    schemas: [main, legacy]
    endpoints:
      legacy: { default_schema: legacy, privileges: { legacy: admin } }
cache:
  type: redis:7.0
`,
      '.platform.app.yaml': `
name: app
type: php:8.3
relationships:
  database: "db:mysql"
  reports: "reports:postgresql"
  old: { service: shared, endpoint: legacy }
  redis: "cache:redis"
mounts:
  "/var": { source: local, source_path: var }
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .platform/services.yaml:2 has mysql:10.11; the url is right on that platform, elsewhere give another
        db:
          type: mariadb
          url: mysql://user@database.internal/main
        # .platform/services.yaml:5 has postgresql:15; the url is right on that platform, elsewhere give another
        reports:
          type: postgres
          url: postgres://main:\${REPORTS_PASSWORD}@reports.internal/main
        # .platform/services.yaml:8 has mariadb:11.4; the url is right on that platform, elsewhere give another
        shared:
          type: mariadb
          url: mysql://\${OLD_USERNAME}:\${OLD_PASSWORD}@old.internal/legacy
        # .platform/services.yaml:14 has redis:7.0; the url is right on that platform, elsewhere give another
        cache:
          type: redis
          url: redis://redis.internal/"
    `)
  })

  test('all in one file', () => {
    const files = {
      '.upsun/config.yaml': `
applications:
  api:
    relationships:
      mariadb:
services:
  mariadb:
    type: mariadb:11.4
  search:
    type: opensearch:2
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .upsun/config.yaml:7 has mariadb:11.4; the url is right on that platform, elsewhere give another
        mariadb:
          type: mariadb
          url: mysql://user@mariadb.internal/main
      not in it: search (opensearch, .upsun/config.yaml:9): nothing says where it listens"
    `)
  })

  test('what is nearer counts instead', () => {
    const files = {
      '.platform/services.yaml': 'db:\n  type: mariadb:10.11\n',
      '.platform.app.yaml': 'relationships:\n  database: "db:mysql"\n',
      '.env': 'DATABASE_URL=mysql://me:mine@127.0.0.1:3306/local_shop\n',
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .env:1 names it (DATABASE_URL)
        db:
          type: mysql
          url: mysql://me:\${DB_PASSWORD}@127.0.0.1/local_shop
      DB_PASSWORD='mine'"
    `)
  })
})

test('Magento Commerce Cloud', () => {
  const files = {
    '.magento/services.yaml': `
mysql:
    type: mysql:10.6
    disk: 5120
redis:
    type: redis:7.0
opensearch:
    type: opensearch:2.5
rabbitmq:
    type: rabbitmq:3.9
`,
    '.magento.app.yaml': `
name: mymagento
type: php:8.2
relationships:
    database: "mysql:mysql"
    redis: "redis:redis"
    opensearch: "opensearch:opensearch"
    rabbitmq: "rabbitmq:rabbitmq"
mounts:
    "var": "shared:files/var"
`,
  }
  expect(proposalFor(files)).toMatchInlineSnapshot(`
    "services:
      # .magento/services.yaml:2 has mysql:10.6; the url is right on that platform, elsewhere give another
      mysql:
        type: mariadb
        url: mysql://user@database.internal/main
      # .magento/services.yaml:5 has redis:7.0; the url is right on that platform, elsewhere give another
      redis:
        type: redis
        url: redis://redis.internal/
      # .magento/services.yaml:9 has rabbitmq:3.9; the url is right on that platform, elsewhere give another
      rabbitmq:
        type: rabbitmq
        url: amqp://rabbitmq.internal/
    not in it: opensearch (opensearch, .magento/services.yaml:7): nothing says which of its indices are the project's"
  `)
})
