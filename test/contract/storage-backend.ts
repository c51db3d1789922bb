import { describe, expect, it } from 'vitest'
import type { StorageBackend } from '../../src/backends/storage-backend.ts'

const bytes = (text: string) => Buffer.from(text, 'utf8')

async function namesOf(backend: StorageBackend, prefix: string): Promise<readonly string[]> {
  const names: string[] = []
  for await (const { name } of backend.list(prefix)) names.push(name)
  // The same law holds for the names alone.
  expect((await Array.fromAsync(backend.names(prefix))).flat().sort()).toEqual([...names].sort())
  return names.sort()
}

/** The laws of the port src/backends/storage-backend.ts. `make` gives a new, empty backend. */
export function storageBackendContract(name: string, make: () => Promise<StorageBackend>): void {
  describe(`${name} keeps the laws of a storage backend`, () => {
    it('gives back what was put, in parts, whole', async () => {
      const backend = await make()
      expect(await backend.put('packs/ab/abcd', [bytes('one '), bytes(''), bytes('two')])).toBe('created')
      expect(Buffer.from(await backend.get('packs/ab/abcd')).toString()).toBe('one two')
    })

    it('stores an empty object', async () => {
      const backend = await make()
      await backend.put('empty', [])
      expect(await backend.get('empty')).toHaveLength(0)
      expect((await backend.stat('empty'))?.size).toBe(0)
    })

    it('stores every byte value and more than a megabyte', async () => {
      const backend = await make()
      const long = Buffer.from(Uint8Array.from({ length: 1_300_001 }, (_, i) => (i * 31) & 255))
      await backend.put('long', [long])
      expect(Buffer.compare(await backend.get('long'), long)).toBe(0)
    })

    it('never changes an object that is there', async () => {
      const backend = await make()
      await backend.put('format', [bytes('first')])
      expect(await backend.put('format', [bytes('second')])).toBe('exists')
      expect(Buffer.from(await backend.get('format')).toString()).toBe('first')
    })

    it('lets one of many writers of a name win, whole', async () => {
      const backend = await make()
      const writers = Array.from({ length: 8 }, (_, i) => bytes(String(i).repeat(50_000)))
      const results = await Promise.all(writers.map((part) => backend.put('index/one', [part])))
      expect(results.filter((result) => result === 'created')).toHaveLength(1)
      const winner = writers[results.indexOf('created')]!
      expect(Buffer.compare(await backend.get('index/one'), winner)).toBe(0)
    })

    it('keeps what was put when the caller changes its bytes afterwards, or those it was given', async () => {
      const backend = await make()
      const mine = bytes('abc')
      await backend.put('kept', [mine])
      mine.fill(0)
      const given = await backend.get('kept')
      given.fill(0)
      expect(Buffer.from(await backend.get('kept')).toString()).toBe('abc')
    })

    it('gives ranges, also into a buffer that is handed in', async () => {
      const backend = await make()
      await backend.put('range', [bytes('0123456789')])
      expect(Buffer.from(await backend.get('range', { offset: 3, length: 4 })).toString()).toBe('3456')
      expect(await backend.get('range', { offset: 10, length: 0 })).toHaveLength(0)
      const into = Buffer.alloc(8)
      expect(Buffer.from(await backend.get('range', { offset: 8, length: 2 }, into)).toString()).toBe('89')
    })

    it('says `damaged` when a range is not all there', async () => {
      const backend = await make()
      await backend.put('range', [bytes('0123456789')])
      await expect(backend.get('range', { offset: 8, length: 3 })).rejects.toMatchObject({ code: 'damaged' })
      await expect(backend.get('range', { offset: 11, length: 0 })).rejects.toMatchObject({ code: 'damaged' })
    })

    it('says `not-found` of an object that is not there', async () => {
      const backend = await make()
      await expect(backend.get('packs/aa/none')).rejects.toMatchObject({ code: 'not-found' })
      expect(await backend.stat('packs/aa/none')).toBeUndefined()
      expect(await backend.delete('packs/aa/none')).toBe(false)
    })

    it('sees a new object at once, by get, stat and list', async () => {
      const backend = await make()
      const start = await backend.now()
      await backend.put('manifests/m1', [bytes('hello')])
      const info = await backend.stat('manifests/m1')
      expect(info).toMatchObject({ name: 'manifests/m1', size: 5 })
      expect(Math.abs(info!.modifiedAtMs - start)).toBeLessThan(60_000)
      const listed = []
      for await (const object of backend.list('manifests/')) listed.push(object)
      expect(listed).toEqual([info])
    })

    it('deletes, and says whether it was there', async () => {
      const backend = await make()
      await backend.put('index/x', [bytes('x')])
      expect(await backend.delete('index/x')).toBe(true)
      expect(await backend.delete('index/x')).toBe(false)
      expect(await namesOf(backend, '')).toEqual([])
      expect(await backend.put('index/x', [bytes('y')])).toBe('created')
    })

    it('lists what begins with a prefix, and only that', async () => {
      const backend = await make()
      const names = ['format', 'packs/aa/aa11', 'packs/aa/aa22', 'packs/ab/ab11', 'packsx', 'index/1']
      for (const name of names) await backend.put(name, [bytes(name)])
      expect(await namesOf(backend, '')).toEqual([...names].sort())
      expect(await namesOf(backend, 'packs/')).toEqual(['packs/aa/aa11', 'packs/aa/aa22', 'packs/ab/ab11'])
      expect(await namesOf(backend, 'packs/aa/aa2')).toEqual(['packs/aa/aa22'])
      expect(await namesOf(backend, 'packs/a')).toEqual(['packs/aa/aa11', 'packs/aa/aa22', 'packs/ab/ab11'])
      expect(await namesOf(backend, 'packs')).toEqual(['packs/aa/aa11', 'packs/aa/aa22', 'packs/ab/ab11', 'packsx'])
      expect(await namesOf(backend, 'none/')).toEqual([])
    })

    it('lists every one of a thousand objects', async () => {
      const backend = await make()
      const names = Array.from({ length: 1000 }, (_, i) => `packs/${String(i % 7).padStart(2, '0')}/${i}`)
      for (const name of names) await backend.put(name, [bytes('x')])
      expect(await namesOf(backend, 'packs/')).toEqual([...names].sort())
    }, 60_000)

    const badNames = [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      '.',
      '..',
      '../a',
      'a/../b',
      'a/./b',
      'A',
      'a b',
      'a\\b',
      'a\0',
      'ä',
      '~tmp/a',
    ]
    it.each(badNames.map((bad) => [bad]))('refuses the name %j', async (bad) => {
      const backend = await make()
      await expect(backend.put(bad, [bytes('x')])).rejects.toMatchObject({ code: 'bug' })
      await expect(backend.get(bad)).rejects.toMatchObject({ code: 'bug' })
      await expect(backend.stat(bad)).rejects.toMatchObject({ code: 'bug' })
      await expect(backend.delete(bad)).rejects.toMatchObject({ code: 'bug' })
      if (!['', 'a/', '.', '..'].includes(bad))
        await expect(namesOf(backend, bad)).rejects.toMatchObject({ code: 'bug' })
    })

    it('takes names with every character that is allowed', async () => {
      const backend = await make()
      for (const name of ['a-b_c.d9', '...', '.hidden/..x', '-', '_/_']) {
        expect(await backend.put(name, [bytes(name)])).toBe('created')
        expect(Buffer.from(await backend.get(name)).toString()).toBe(name)
      }
    })
  })
}
