import type { Word } from '../../src/services/redis/connection.ts'

const odd = Buffer.from([0x00, 0xff, 0x0d, 0x0a, 0x2a, 0x80])
const later = 4_102_444_800_123

/** Values of every type, small and large, with bytes that are no text. */
export function oddKeys(): Word[][] {
  const many = (count: number, make: (nr: number) => Word[]) =>
    Array.from({ length: count }, (_, nr) => make(nr)).flat()
  return [
    ['SET', 'text', 'plain'],
    ['SET', 'number', '12345678901234567890'],
    ['SET', 'small number', '-7'],
    ['SET', 'empty', ''],
    ['SET', 'compressible', 'ab'.repeat(5000)],
    ['SET', odd, odd],
    ['SET', 'größe', 'ä'],
    ['SET', 'expires', 'later', 'PXAT', later],
    ['SETRANGE', 'bits', 100, 'x'],
    ['RPUSH', 'list', 'a', '1', odd, ''],
    ['RPUSH', 'long list', ...many(3000, (nr) => [`element ${nr}`, nr * 1_000_003])],
    ['RPUSH', 'plain list', 'x'.repeat(20_000), 'y', 'z'.repeat(9000)],
    ['SADD', 'set', 'a', 'b', odd],
    ['SADD', 'set of numbers', 3, -1, 70_000, '9223372036854775807'],
    ['SADD', 'large set', ...many(700, (nr) => [`member ${nr}`])],
    ['HSET', 'hash', 'field', 'value', odd, odd, 'n', '-128'],
    ['HSET', 'large hash', ...many(700, (nr) => [`field ${nr}`, `value ${nr}`])],
    ['HSET', 'wide hash', 'field', 'w'.repeat(300)],
    ['ZADD', 'sorted', 1.5, 'a', '-inf', 'b', 'inf', odd, 0.1, 'd', 3, 'e', '1e300', 'f'],
    ['ZADD', 'large sorted', ...many(700, (nr) => [nr / 7, `member ${nr}`])],
    ['GEOADD', 'places', 13.4, 52.5, 'Berlin', 2.35, 48.85, 'Paris'],
    ['PFADD', 'visitors', ...many(500, (nr) => [`visitor ${nr}`])],
    ...Array.from({ length: 300 }, (_, nr): Word[] => [
      'XADD',
      'events',
      `${nr + 1}-1`,
      'at',
      nr,
      'what',
      `event ${nr}`,
    ]),
    ['XDEL', 'events', '7-1', '299-1'],
    ['XGROUP', 'CREATE', 'events', 'workers', '0'],
    ['XGROUP', 'CREATE', 'events', 'idle', '$'],
    ['XREADGROUP', 'GROUP', 'workers', 'anna', 'COUNT', 5, 'STREAMS', 'events', '>'],
    ['XREADGROUP', 'GROUP', 'workers', 'bert', 'COUNT', 3, 'STREAMS', 'events', '>'],
    ['XACK', 'events', 'workers', '2-1'],
    ['XADD', 'emptied stream', '5-5', 'a', 'b'],
    ['XDEL', 'emptied stream', '5-5'],
    ['PEXPIREAT', 'large hash', later + 1],
    // Kept as tables although they are small again.
    ['SADD', 'shrunk set', ...many(700, (nr) => [`member ${nr}`])],
    ['SREM', 'shrunk set', ...many(690, (nr) => [`member ${nr}`])],
    ['HSET', 'shrunk hash', ...many(700, (nr) => [`field ${nr}`, nr])],
    ['HDEL', 'shrunk hash', ...many(690, (nr) => [`field ${nr}`])],
  ]
}

export function oddKeyChanges(seed: number): Word[][] {
  return [
    ['SET', 'text', `changed ${seed}`],
    ['SET', `added ${seed}`, odd],
    ['DEL', 'list', 'hash'],
    ['PERSIST', 'expires'],
    ['EXPIREAT', 'set', 4_202_444_800 + seed],
    ['HSET', 'large hash', 'field 5', `changed ${seed}`],
    ['ZADD', 'sorted', seed, 'a'],
    ['XADD', 'events', '*', 'seed', seed],
    ['XREADGROUP', 'GROUP', 'workers', 'carl', 'COUNT', 2, 'STREAMS', 'events', '>'],
    ['RPUSH', 'long list', `changed ${seed}`],
  ]
}

export const library = (name: string, answer: number | string) =>
  `#!lua name=${name}\nredis.register_function('${name}_answer', function() return ${answer} end)\n`
