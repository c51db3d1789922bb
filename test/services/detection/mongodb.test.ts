import { expect, test } from 'vitest'
import { proposalFor } from '../../support/project-texts.ts'

test("a MongoDB container: its root user is known in the database admin, an application's own user where its url says", () => {
  const container = `
services:
  mongo:
    image: mongo:8
    environment:
      MONGO_INITDB_ROOT_USERNAME: root
      MONGO_INITDB_ROOT_PASSWORD: secret
      MONGO_INITDB_DATABASE: shop
`
  expect(proposalFor({ 'compose.yaml': container })).toMatchInlineSnapshot(`
    "services:
      # compose.yaml:3 runs mongo:8
      mongo:
        type: mongodb
        url: mongodb://root:\${MONGO_PASSWORD}@127.0.0.1/shop?authSource=admin
        run: [docker, compose, exec, -T, mongo]
    MONGO_PASSWORD='secret'"
  `)
  const app = `  app: { build: ., environment: { MONGODB_URI: "mongodb://app:\${APP_PASSWORD}@mongo:27017/orders?authSource=users" } }\n`
  expect(proposalFor({ 'compose.yaml': container + app })).toMatchInlineSnapshot(`
    "services:
      # compose.yaml:3 runs mongo:8; compose.yaml:9 names it (MONGODB_URI)
      mongo:
        type: mongodb
        url: mongodb://app:\${APP_PASSWORD}@127.0.0.1/orders?authSource=users
        run: [docker, compose, exec, -T, mongo]"
  `)
})

test('a url in .env; one whose host is looked up stays whole', () => {
  const urls = `MONGO_URL=mongodb://127.0.0.1:27018/shop
CATALOG_URI=mongodb+srv://app:secret@cluster0.example.net/catalog?retryWrites=true
`
  expect(proposalFor({ '.env': urls })).toMatchInlineSnapshot(`
    "services:
      # .env:2 names it (CATALOG_URI)
      catalog:
        type: mongodb
        url: \${CATALOG_URI}
      # .env:1 names it (MONGO_URL)
      mongo:
        type: mongodb
        url: mongodb://127.0.0.1:27018/shop"
  `)
})
