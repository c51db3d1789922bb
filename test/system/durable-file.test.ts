import { mkdir, open, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { EnvError } from '../../src/domain/errors.ts'
import {
  type FileCalls,
  fileError,
  makeDirectory,
  realFileCalls,
  replaceFile,
  syncDirectory,
  writeNewFile,
} from '../../src/system/durable-file.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const systemError = (code: string) => Object.assign(new Error(`${code}: made by a test`), { code })

describe('a file', () => {
  it('is replaced whole', async () => {
    const file = path.join(await temporaryDirectory(), 'state.json')
    await replaceFile(file, [Buffer.from('one')])
    await replaceFile(file, [Buffer.from('tw'), Buffer.from('o')], { mode: 0o640 })
    expect(await readFile(file, 'utf8')).toBe('two')
    expect((await stat(file)).mode & 0o777).toBe(0o640)
    expect(await readdir(path.dirname(file))).toEqual(['state.json'])
  })

  it.each(['write', 'sync', 'rename'] as const)(
    'stays what it was when %s fails, and nothing is left beside it',
    async (verb) => {
      const file = path.join(await temporaryDirectory(), 'state.json')
      await replaceFile(file, [Buffer.from('old')])
      const fail = async () => Promise.reject(systemError('ENOSPC'))
      const failingOpen = (async (...args: Parameters<typeof open>) =>
        Object.assign(await open(...args), args[1] === 'wx' ? { [verb]: fail } : {})) as typeof open
      const calls: FileCalls = { ...realFileCalls, open: failingOpen, ...(verb === 'rename' ? { rename: fail } : {}) }
      await expect(replaceFile(file, [Buffer.from('new')], { calls })).rejects.toMatchObject({
        code: 'unavailable',
        message: `${file}: could not write 3 bytes: ENOSPC`,
        hint: 'make room on that file system, then run it again',
      })
      expect(await readFile(file, 'utf8')).toBe('old')
      expect(await readdir(path.dirname(file))).toEqual(['state.json'])
    },
  )

  it('is not believed to be written when its length is another', async () => {
    const directory = await temporaryDirectory()
    const lossy = (async (...args: Parameters<typeof open>) => {
      const handle = await open(...args)
      const write = handle.write.bind(handle)
      const half = async (bytes: Uint8Array) => {
        await write(bytes.subarray(0, bytes.length / 2))
        return { bytesWritten: bytes.length, buffer: bytes }
      }
      return Object.assign(handle, args[1] === 'wx' ? { write: half } : {})
    }) as typeof open
    const options = { temporaryDirectory: directory, calls: { ...realFileCalls, open: lossy } }
    const written = writeNewFile(path.join(directory, 'new'), [Buffer.alloc(100)], options)
    await expect(written).rejects.toThrow('wrote 100 bytes, but 50 are there')
    expect(await readdir(directory)).toEqual([])
  })

  it('is given its name all the same when the holder of a lock died, where there are no hard links', async () => {
    const directory = await temporaryDirectory()
    const calls: FileCalls = { ...realFileCalls, link: async () => Promise.reject(systemError('EPERM')) }
    const lock = path.join(directory, 'new.lock')
    await writeFile(lock, '')
    await utimes(lock, 1, 1)
    const options = { temporaryDirectory: directory, calls }
    expect(await writeNewFile(path.join(directory, 'new'), [Buffer.from('x')], options)).toBe('created')
    expect(await readdir(directory)).toEqual(['new'])
  })
})

describe('a folder', () => {
  it('is made with all above it, each synced into the one that holds it', async () => {
    const root = await temporaryDirectory()
    const synced: string[] = []
    const recording = (async (...args: Parameters<typeof open>) => {
      synced.push(path.relative(root, String(args[0])))
      return open(...args)
    }) as typeof open
    await makeDirectory(path.join(root, 'a/b/c'), 0o700, { ...realFileCalls, open: recording })
    expect(synced).toEqual(['a/b', 'a', ''])
    expect((await stat(path.join(root, 'a/b/c'))).mode & 0o777).toBe(0o700)
    await makeDirectory(path.join(root, 'a/b/c'))
  })

  it('is named when it cannot be made', async () => {
    const root = await temporaryDirectory()
    await writeFile(path.join(root, 'file'), '')
    await expect(makeDirectory(path.join(root, 'file', 'sub'))).rejects.toMatchObject({
      code: 'unavailable',
      message: `${path.join(root, 'file', 'sub')}: could not make this folder: ENOTDIR`,
    })
  })

  it.each([
    ['EINVAL', undefined],
    ['EIO', 'EIO'],
  ])('that answers a sync with %s %s', async (code, thrown) => {
    const root = await temporaryDirectory()
    await mkdir(path.join(root, 'd'))
    const failing = (async (...args: Parameters<typeof open>) =>
      Object.assign(await open(...args), { sync: async () => Promise.reject(systemError(code)) })) as typeof open
    const outcome = await syncDirectory(path.join(root, 'd'), { ...realFileCalls, open: failing }).then(
      () => undefined,
      (error: { code: string }) => error.code,
    )
    expect(outcome).toBe(thrown)
  })
})

describe('a system error', () => {
  it('names the path, what was to be done, and what to do next', () => {
    const error = fileError(systemError('EROFS'), '/backups/shop', 'write 10 bytes')
    expect(error).toMatchObject({
      code: 'unavailable',
      message: '/backups/shop: could not write 10 bytes: EROFS',
      hint: 'the file system is read-only: mount it writable, then run it again',
      details: { path: '/backups/shop', systemCode: 'EROFS' },
    })
  })

  it('stays what it is when it is one of ours', () => {
    const error = new EnvError('damaged', 'a pack has no footer')
    expect(fileError(error, '/x', 'read it')).toBe(error)
  })
})
