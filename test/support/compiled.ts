import { fileURLToPath } from 'node:url'

/**
 * For processes that a test starts by the dozen: they find the modules compiled by those before them, which makes a start three times as
 * fast. One that may be killed flushes the cache (`node:module`) before that.
 */
export const compiledEnvironment = {
  ...process.env,
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)),
}
