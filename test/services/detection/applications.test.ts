import { describe, expect, test } from 'vitest'
import { proposalFor } from '../../support/project-texts.ts'

describe('Magento', () => {
  test('app/etc/env.php', () => {
    const files = {
      'app/etc/env.php': `<?php
return [
    'backend' => [
        'frontName' => 'admin_1x2y3z'
    ],
    'crypt' => [
        'key' => '2b9a3e7d1c'
    ],
    'db' => [
        'table_prefix' => '',
        'connection' => [
            'default' => [
                'host' => 'localhost',
                'dbname' => 'magento',
                'username' => 'magento',
                'password' => 'it\\'s $ecret"\\\\',
                'model' => 'mysql4',
                'engine' => 'innodb',
                'initStatements' => 'SET NAMES utf8;',
                'active' => '1',
                'driver_options' => [
                    1014 => false
                ]
            ],
            'indexer' => [
                'host' => 'localhost',
                'dbname' => 'magento',
                'username' => 'magento',
                'password' => 'it\\'s $ecret"\\\\',
            ],
            'checkout' => array(
                'host' => '10.0.0.7:3307',
                'dbname' => 'checkout',
                'username' => 'quote',
                'password' => 'other',
            ),
        ]
    ],
    'session' => [
        'save' => 'redis',
        'redis' => ['host' => '127.0.0.1', 'port' => '6379', 'password' => '', 'database' => '2']
    ],
    'cache' => [
        'frontend' => [
            'default' => [
                'id_prefix' => '69d_',
                'backend' => 'Magento\\\\Framework\\\\Cache\\\\Backend\\\\Redis',
                'backend_options' => ['server' => '127.0.0.1', 'database' => '0', 'port' => '6379', 'password' => 'r']
            ],
        ]
    ],
    'queue' => ['amqp' => ['host' => 'mq', 'port' => '5672', 'user' => 'guest', 'password' => 'guest', 'virtualhost' => '/']],
    'install' => ['date' => 'Mon, 01 Jan 2024 00:00:00 +0000']
];
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # app/etc/env.php:12 names it (Magento); app/etc/env.php:25 names it (Magento)
        db:
          type: mysql
          url: mysql://magento:\${DB_PASSWORD}@127.0.0.1/magento
        # app/etc/env.php:31 names it (Magento)
        checkout:
          type: mysql
          url: mysql://quote:\${CHECKOUT_PASSWORD}@10.0.0.7:3307/checkout
        # app/etc/env.php:48 names it (Magento)
        cache:
          type: redis
          url: redis://:\${CACHE_PASSWORD}@127.0.0.1/0
        # app/etc/env.php:41 names it (Magento)
        session:
          type: redis
          url: redis://127.0.0.1/2
        # app/etc/env.php:52 names it (Magento)
        queue:
          type: rabbitmq
          url: amqp://guest:\${QUEUE_PASSWORD}@mq/%2F
      DB_PASSWORD=\`it's $ecret"\\\`
      CHECKOUT_PASSWORD='other'
      CACHE_PASSWORD='r'
      QUEUE_PASSWORD='guest'"
    `)
  })

  test('a search engine is proposed where the names of its indices are known', () => {
    const search = (more: string) => ({
      'app/etc/env.php': `<?php return ['system' => ['default' => ['catalog' => ['search' => [
  'engine' => 'opensearch', 'opensearch_server_hostname' => 'localhost', 'opensearch_server_port' => '9201'${more}
]]]]];`,
    })
    expect(proposalFor(search(", 'opensearch_index_prefix' => 'myshop'"))).toMatchInlineSnapshot(`
      "services:
        # app/etc/env.php:1 names it (Magento)
        search:
          type: opensearch
          url: http://127.0.0.1:9201/
          indices: [myshop*]"
    `)
    expect(proposalFor(search(''))).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: search (opensearch, app/etc/env.php:1): nothing says which of its indices are the project's"
    `)
  })
})

describe('WordPress', () => {
  const config = (lines: string) => `<?php
/**
 * The base configuration. define( 'DB_NAME', 'not_this' );
 */
// define('DB_NAME', 'nor_this');
# define('DB_NAME', 'nor_that');
${lines}
define( 'AUTH_KEY', 'put your unique phrase here' );
$table_prefix = 'wp_';
if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
`
  test('wp-config.php', () => {
    const files = {
      'wp-config.php': config(`
define( 'DB_NAME', 'blog' );
define( "DB_USER", "blogger" );
define('DB_PASSWORD',"a\\"b\\$c'd\\\\e");
define( 'DB_HOST', 'localhost:3307' );`),
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # wp-config.php:8 names it (WordPress)
        db:
          type: mysql
          url: mysql://blogger:\${DB_PASSWORD}@127.0.0.1:3307/blog
      DB_PASSWORD=\`a"b$c'd\\e\`"
    `)
  })

  test('a socket, and what the environment tells', () => {
    const files = {
      'wp-config.php': config(`
define( 'DB_NAME', getenv_docker('WORDPRESS_DB_NAME', 'wordpress') );
define( 'DB_USER', getenv('DB_USER') ?: 'wp' );
define( 'DB_PASSWORD', $_ENV['WP_SECRET'] ?? '' );
define( 'DB_HOST', 'localhost:/run/mysqld/mysqld.sock' );`),
      'web/wp-config.php': config(`define('DB_NAME', 'database_name_here'); define('DB_USER', 'username_here');`),
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # wp-config.php:8 names it (WordPress)
        db:
          type: mysql
          url: mysql://wp:\${WP_SECRET}@localhost/wordpress?socketPath=/run/mysqld/mysqld.sock"
    `)
  })

  test('with a compose file that runs its database', () => {
    const files = {
      'compose.yaml': `
services:
  db:
    image: mariadb:11
    environment: { MARIADB_DATABASE: blog, MARIADB_ROOT_PASSWORD: root }
  wordpress:
    image: wordpress:php8.3
    environment:
      WORDPRESS_DB_HOST: db
      WORDPRESS_DB_USER: blogger
      WORDPRESS_DB_PASSWORD: from compose
      WORDPRESS_DB_NAME: blog
`,
      'wp-config.php': config(`
define( 'DB_NAME', 'blog' );
define( 'DB_USER', 'blogger' );
define( 'DB_PASSWORD', 'from compose' );
define( 'DB_HOST', 'db:3306' );`),
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # compose.yaml:3 runs mariadb:11; compose.yaml:9 names it (WORDPRESS_DB_HOST); wp-config.php:8 names it (WordPress)
        db:
          type: mariadb
          url: mysql://blogger:\${DB_PASSWORD}@127.0.0.1/blog
          run: [docker, compose, exec, -T, db]
      DB_PASSWORD='from compose'"
    `)
  })
})

describe('Drupal', () => {
  test('settings.php of several sites, overridden by settings.local.php', () => {
    const files = {
      'web/sites/default/settings.php': `<?php
/* $databases['default']['default'] = ['database' => 'example']; */
$databases['default']['default'] = array (
  'database' => 'drupal',
  'username' => 'drupal',
  'password' => 'production',
  'prefix' => '',
  'host' => 'db.internal',
  'port' => '3306',
  'namespace' => 'Drupal\\\\mysql\\\\Driver\\\\Database\\\\mysql',
  'driver' => 'mysql',
);
$databases['migrate']['default'] = ['driver' => 'pgsql', 'database' => 'old', 'username' => 'old', 'password' => getenv('OLD_PASSWORD'), 'host' => '127.0.0.1', 'port' => 5433];
$databases['default']['replica'][] = ['database' => 'replica', 'driver' => 'mysql'];
if (file_exists($app_root . '/' . $site_path . '/settings.local.php')) {
  include $app_root . '/' . $site_path . '/settings.local.php';
}
`,
      'web/sites/default/settings.local.php': `<?php
$databases['default']['default']['host'] = '127.0.0.1';
$databases['default']['default']['password'] = 'local';
`,
      'web/sites/shop.example.com/settings.php': `<?php
$databases = [
  'default' => [
    'default' => [
      'database' => 'shop',
      'username' => 'shop',
      'password' => 'p',
      'host' => 'localhost',
      'driver' => 'mysql',
      'unix_socket' => '/tmp/mysql.sock',
    ],
  ],
];
`,
      'web/sites/light/settings.php': `<?php $databases['default']['default'] = ['driver' => 'sqlite', 'database' => 'a.sqlite'];`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # web/sites/default/settings.php:3 names it (Drupal)
        db:
          type: mysql
          url: mysql://drupal:\${DB_PASSWORD}@127.0.0.1/drupal
        # web/sites/default/settings.php:13 names it (Drupal)
        migrate:
          type: postgres
          url: postgres://old:\${OLD_PASSWORD}@127.0.0.1:5433/old
        # web/sites/shop.example.com/settings.php:4 names it (Drupal)
        shop-example-com:
          type: mysql
          url: mysql://shop:\${SHOP_EXAMPLE_COM_PASSWORD}@localhost/shop?socketPath=/tmp/mysql.sock
      DB_PASSWORD='local'
      SHOP_EXAMPLE_COM_PASSWORD='p'"
    `)
  })
})

describe('Rails', () => {
  test('config/database.yml, with ERB', () => {
    const files = {
      'config/database.yml': `# PostgreSQL. Versions 9.3 and up are supported.
default: &default
  adapter: postgresql
  encoding: unicode
  pool: <%= ENV.fetch("RAILS_MAX_THREADS") { 5 } %>
  <%# a comment %>
  host: <%= ENV.fetch("DB_HOST", "localhost") %>
  username: <%= ENV["DB_USER"] || "rails" %>
  password: <%= ENV["SHOP_DATABASE_PASSWORD"] %>

development:
  primary:
    <<: *default
    database: shop_development
  queue:
    <<: *default
    database: shop_<%= ENV.fetch("STAGE", "dev") %>_queue
    migrations_paths: db/queue_migrate

test:
  <<: *default
  database: shop_test

production:
  <<: *default
  database: shop_production
  url: <%= ENV["DATABASE_URL"] %>
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # config/database.yml:12 names it (Rails)
        db:
          type: postgres
          url: postgres://rails:\${SHOP_DATABASE_PASSWORD}@127.0.0.1/shop_development
        # config/database.yml:15 names it (Rails)
        queue:
          type: postgres
          url: postgres://rails:\${SHOP_DATABASE_PASSWORD}@127.0.0.1/shop_dev_queue"
    `)
  })

  test('a MySQL socket, and a url that only production knows', () => {
    const files = {
      'config/database.yml': `
development:
  adapter: mysql2
  username: root
  password:
  database: shop
  socket: /tmp/mysql.sock
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # config/database.yml:2 names it (Rails)
        db:
          type: mysql
          url: mysql://root@localhost/shop?socketPath=/tmp/mysql.sock"
    `)
    const production = {
      'config/database.yml': 'production:\n  adapter: postgresql\n  url: <%= ENV["SHOP_DATABASE_URL"] %>\n',
    }
    expect(proposalFor(production)).toMatchInlineSnapshot(`
      "services:
        # config/database.yml:1 names it (Rails)
        db:
          type: postgres
          url: \${SHOP_DATABASE_URL}"
    `)
  })

  test.skipIf(process.platform === 'darwin')('no host is the socket that libpq takes', () => {
    const files = { 'config/database.yml': 'development:\n  adapter: postgresql\n  database: app_development\n' }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # config/database.yml:1 names it (Rails)
        db:
          type: postgres
          url: postgres://\${USER}@localhost/app_development?socketPath=/var/run/postgresql"
    `)
  })
})

describe('.env', () => {
  test('of Laravel, with Sail', () => {
    const files = {
      '.env': `APP_NAME=Laravel
APP_KEY=base64:abc
DB_CONNECTION=mysql
DB_HOST=mysql
DB_PORT=3306
DB_DATABASE=laravel
DB_USERNAME=sail
DB_PASSWORD="pass word"

CACHE_STORE=redis
REDIS_HOST=redis
REDIS_PASSWORD=null
REDIS_PORT=6379
`,
      'compose.yaml': `
services:
  laravel.test:
    build: { context: ./vendor/laravel/sail/runtimes/8.4 }
    environment: { LARAVEL_SAIL: 1 }
  mysql:
    image: 'mysql/mysql-server:8.0'
    ports: ['\${FORWARD_DB_PORT:-3306}:3306']
    environment:
      MYSQL_ROOT_PASSWORD: '\${DB_PASSWORD}'
      MYSQL_ROOT_HOST: '%'
      MYSQL_DATABASE: '\${DB_DATABASE}'
      MYSQL_USER: '\${DB_USERNAME}'
      MYSQL_PASSWORD: '\${DB_PASSWORD}'
  redis:
    image: 'redis:alpine'
    ports: ['\${FORWARD_REDIS_PORT:-6379}:6379']
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # compose.yaml:6 runs mysql-server:8.0; .env:6 names it (DB_DATABASE)
        mysql:
          type: mysql
          url: mysql://sail:\${DB_PASSWORD}@127.0.0.1/laravel
        # compose.yaml:15 runs redis:alpine; .env:11 names it (REDIS_HOST)
        redis:
          type: redis
          url: redis://127.0.0.1/0
      DB_PASSWORD='pass word'"
    `)
  })

  test('of Symfony, overridden by .env.local', () => {
    const files = {
      '.env': `###> doctrine/doctrine-bundle ###
# DATABASE_URL="sqlite:///%kernel.project_dir%/var/data.db"
DATABASE_URL="postgresql://app:!ChangeMe!@127.0.0.1:5432/app?serverVersion=16&charset=utf8"
MESSENGER_TRANSPORT_DSN=doctrine://default?auto_setup=0
`,
      '.env.local': `DATABASE_URL="mysql://me:p%40ss%23w%2Ford@127.0.0.1:3306/app?serverVersion=10.11.2-MariaDB&charset=utf8mb4"
MESSENGER_TRANSPORT_DSN=amqp://guest:guest@localhost:5672/%2f/messages
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .env.local:1 names it (DATABASE_URL)
        db:
          type: mariadb
          url: mysql://me:\${DB_PASSWORD}@127.0.0.1/app
        # .env.local:2 names it (MESSENGER_TRANSPORT_DSN)
        rabbitmq:
          type: rabbitmq
          url: amqp://guest:\${RABBITMQ_PASSWORD}@127.0.0.1/%2F%2Fmessages
      DB_PASSWORD='p@ss#w/ord'
      RABBITMQ_PASSWORD='guest'"
    `)
  })

  test('a url made of other variables keeps their names', () => {
    const files = {
      '.env': `DB_USER=app
SHOP_PASSWORD='we$ird'
DATABASE_URL=mysql://\${DB_USER}:\${SHOP_PASSWORD}@localhost/shop
LEGACY_DATABASE_URL=mysql2://old:@localhost/legacy?unix_socket=/run/mysqld/mysqld.sock
TEST_DATABASE_URL=mysql://root@localhost/test
`,
    }
    expect(proposalFor(files)).toMatchInlineSnapshot(`
      "services:
        # .env:3 names it (DATABASE_URL)
        db:
          type: mysql
          url: mysql://app:\${SHOP_PASSWORD}@127.0.0.1/shop
        # .env:4 names it (LEGACY_DATABASE_URL)
        legacy:
          type: mysql
          url: mysql://old@localhost/legacy?socketPath=/run/mysqld/mysqld.sock
      SHOP_PASSWORD='we$ird'"
    `)
  })

  test('an engine that nothing names is not guessed', () => {
    expect(proposalFor({ '.env': 'DB_HOST=db\nDB_NAME=shop\nDB_USER=app\nDB_PASSWORD=x\n' })).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (sql, .env:2): nothing says which engine it is"
    `)
  })

  test('PostgreSQL keeps its sslmode', () => {
    const url = 'DATABASE_URL=postgres://app@db.example.com/app?sslmode=verify-full&pool=5'
    expect(proposalFor({ '.env': url })).toMatchInlineSnapshot(`
      "services:
        # .env:1 names it (DATABASE_URL)
        db:
          type: postgres
          url: postgres://app@db.example.com/app?sslmode=verify-full"
    `)
  })

  test.each([
    ['mysql://a@db.example.com/a?ssl-mode=REQUIRED', 'mysql://a@db.example.com/a?ssl=required'],
    [
      'mysql://a@db.example.com/a?sslaccept=strict&ssl-ca=/etc/ca.pem',
      'mysql://a@db.example.com/a?ssl=verify&sslCa=/etc/ca.pem',
    ],
    ['mysql://a@db.example.com/a?ssl-mode=DISABLED', 'mysql://a@db.example.com/a'],
    ['mysql://a@localhost/a?socketPath=/run/m.sock', 'mysql://a@localhost/a?socketPath=/run/m.sock'],
    ['redis://localhost/2?socketPath=/run/r.sock', 'redis:///2?socketPath=/run/r.sock'],
    ['rediss://cache.example.com/1', 'rediss://cache.example.com/1'],
    ['amqps://a@mq.example.com/a', 'amqps://a@mq.example.com/a'],
    ['amqps://a@mq.example.com:5672/a', 'amqps://a@mq.example.com:5672/a'],
  ])('what a url says of the way in stays: %s', (url, expected) => {
    const lines = proposalFor({ '.env': `SERVICE_URL=${url}` }).split('\n')
    expect(lines.map((line) => line.trim())).toContain(`url: ${expected}`)
  })

  test("this process's own DATABASE_URL stays where it is", () => {
    const environment = { DATABASE_URL: 'postgres://app:hunter2@127.0.0.1/shop' }
    expect(proposalFor({}, environment)).toMatchInlineSnapshot(`
      "services:
        # the environment names it (DATABASE_URL)
        db:
          type: postgres
          url: \${DATABASE_URL}"
    `)
    expect(proposalFor({}, { DATABASE_URL: 'postgres://app:hunter2@127.0.0.1/shop?pool=5' })).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }"
    `)
  })
})
