import { describe, expect, test } from 'vitest'
import { proposalFor } from '../../support/project-texts.ts'

describe('compose files', () => {
  test('a published port is the way in; without one, docker compose exec is', () => {
    const files = {
      'compose.yaml': `
name: shop
x-common: &common
  restart: unless-stopped
services:
  web:
    image: nginx:1.27
    ports: ["8080:80"]
  db:
    <<: *common
    image: docker.io/library/mariadb:10.11
    environment:
      MARIADB_DATABASE: shop
      MARIADB_USER: app
      MARIADB_PASSWORD: "pa$$word"
      MARIADB_ROOT_PASSWORD: root
    ports:
      - "127.0.0.1:33060:3306"
  reports:
    image: postgis/postgis:16-3.4-alpine
    environment:
      - POSTGRES_PASSWORD=secret
      - POSTGRES_DB=reports
  cache:
    image: redis:7
  phpmyadmin:
    image: phpmyadmin/phpmyadmin
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # compose.yaml:9 runs mariadb:10.11
        db:
          type: mariadb
          url: mysql://app:\${DB_PASSWORD}@127.0.0.1:33060/shop
        # compose.yaml:19 runs postgis:16-3.4-alpine
        reports:
          type: postgres
          url: postgres://postgres:\${REPORTS_PASSWORD}@127.0.0.1/reports
          run: [docker, compose, exec, -T, reports]
        # compose.yaml:24 runs redis:7
        cache:
          type: redis
          url: redis://127.0.0.1/0
          run: [docker, compose, exec, -T, cache]
      DB_PASSWORD='pa$word'
      REPORTS_PASSWORD='secret'"
    `)
  })

  test('variables keep their names, and .env and defaults tell what they are', () => {
    const files = {
      '.env': 'DB_NAME=shop\nDB_PASSWORD="s3cret # not a comment"\nDB_PORT=3307\n',
      'docker-compose.yml': `
services:
  mysql:
    image: "mysql/mysql-server:\${MYSQL_VERSION:-8.0}"
    ports:
      - target: 3306
        published: \${DB_PORT}
    environment:
      MYSQL_DATABASE: \${DB_NAME:?set it}
      MYSQL_USER: \${DB_USER:-\${USER_NAME:-shopper}}
      MYSQL_PASSWORD: \${DB_PASSWORD}
  other:
    image: postgres
    environment:
      POSTGRES_USER: \${PG_USER}
      POSTGRES_PASSWORD: \${PG_PASSWORD:-fallback}
      POSTGRES_DB: other
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # docker-compose.yml:3 runs mysql-server:8.0; .env:1 names it (DB_NAME)
        mysql:
          type: mysql
          url: mysql://shopper:\${DB_PASSWORD}@127.0.0.1:3307/shop
        # docker-compose.yml:12 runs postgres
        other:
          type: postgres
          url: postgres://\${PG_USER}:\${PG_PASSWORD}@127.0.0.1/other
          run: [docker, compose, exec, -T, other]
      DB_PASSWORD='s3cret # not a comment'
      PG_PASSWORD='fallback'"
    `)
  })

  test('an override, an env_file and a secret are read', () => {
    const files = {
      'compose.yml': `
services:
  database:
    image: postgres:17
    env_file: [./docker/db.env]
    environment:
      POSTGRES_PASSWORD_FILE: /run/secrets/pg
secrets:
  pg: { file: ./docker/pg.txt }
`,
      'compose.override.yaml': 'services:\n  database:\n    ports: ["5433:5432"]\n',
      'docker/db.env': 'POSTGRES_USER=app\nPOSTGRES_DB=shop\n',
      'docker/pg.txt': 'from a file\n',
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # compose.yml:3 runs postgres:17
        database:
          type: postgres
          url: postgres://app:\${DATABASE_PASSWORD}@127.0.0.1:5433/shop
      DATABASE_PASSWORD='from a file'"
    `)
  })

  test('an application in a container tells which of the databases it uses', () => {
    const files = {
      'compose.yaml': `
services:
  app:
    build: .
    environment:
      DATABASE_URL: postgresql+asyncpg://app:\${APP_PASSWORD}@pg:5432/app?ssl=false
      REDIS_URL: redis://cache:6379/1
      AMQP_URL: amqp://guest:guest@queue//
  worker:
    build: .
    environment: { DATABASE_URL: "postgresql://app:\${APP_PASSWORD}@pg/jobs" }
  pg:
    build: docker/pg
    volumes: ["pg:/var/lib/postgresql/data"]
    environment: { POSTGRES_PASSWORD: super }
  cache: { image: valkey/valkey:8, ports: ["6379"] }
  queue: { image: "rabbitmq:4-management", ports: ["5672:5672"] }
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # compose.yaml:12 runs postgres; compose.yaml:6 names it (DATABASE_URL)
        app:
          type: postgres
          url: postgres://app:\${APP_PASSWORD}@127.0.0.1/app
          run: [docker, compose, exec, -T, pg]
        # compose.yaml:12 runs postgres; compose.yaml:11 names it (DATABASE_URL)
        jobs:
          type: postgres
          url: postgres://app:\${APP_PASSWORD}@127.0.0.1/jobs
          run: [docker, compose, exec, -T, pg]
        # compose.yaml:16 runs valkey:8; compose.yaml:7 names it (REDIS_URL)
        cache:
          type: redis
          url: redis://127.0.0.1/1
          run: [docker, compose, exec, -T, cache]
        # compose.yaml:17 runs rabbitmq:4-management; compose.yaml:8 names it (AMQP_URL)
        queue:
          type: rabbitmq
          url: amqp://guest:\${QUEUE_PASSWORD}@127.0.0.1/%2F
      QUEUE_PASSWORD='guest'"
    `)
  })

  test('a server without a database, and an image that only sounds like one', () => {
    const files = {
      'compose.yaml': `
services:
  db: { image: "percona:8", environment: { MYSQL_ROOT_PASSWORD: x }, network_mode: host }
  exporter: { image: prom/mysqld-exporter }
  backup: { image: "prodrigestivill/postgres-backup-local" }
  --privileged: { image: "mariadb", environment: { MARIADB_DATABASE: x } }
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (mysql, compose.yaml:3): nothing names its database"
    `)
  })
})
