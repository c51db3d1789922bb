import { link, mkdir, open, readdir, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { LocalBackend } from '../../src/backends/local.ts'
import { type FileCalls, realFileCalls } from '../../src/system/durable-file.ts'
import { storageBackendContract } from '../contract/storage-backend.ts'
import { temporaryDirectory } from '../support/temporary.ts'

storageBackendContract('local', async () => new LocalBackend(await temporaryDirectory()))

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: made by a test`), { code })
}

/** A file system without hard links. */
const withoutLinks: FileCalls = { ...realFileCalls, link: async () => Promise.reject(systemError('EPERM')) }

storageBackendContract(
  'local, where there are no hard links',
  async () => new LocalBackend(await temporaryDirectory(), { calls: withoutLinks }),
)

/** The real calls, each written down in the order in which it ended: `sync packs/ab`, `link packs/ab/abcd`. */
function recording(root: string): { readonly calls: FileCalls; readonly events: string[] } {
  const events: string[] = []
  const name = (file: unknown) => path.relative(root, String(file)).replace(/^~tmp\/.+/, '<temporary>') || '.'
  const calls: FileCalls = {
    open: (async (...args: Parameters<typeof open>) => {
      const handle = await open(...args)
      const sync = handle.sync.bind(handle)
      handle.sync = async () => {
        await sync()
        events.push(`sync ${name(args[0])}`)
      }
      return handle
    }) as typeof open,
    link: async (from, to) => {
      await link(from, to)
      events.push(`link ${name(to)}`)
    },
    rename: async (from, to) => {
      await rename(from, to)
      events.push(`rename ${name(to)}`)
    },
    mkdir: (async (...args: Parameters<typeof mkdir>) => {
      const made = await mkdir(...args)
      if (made !== undefined) events.push(`mkdir ${name(args[0])}`)
      return made
    }) as typeof mkdir,
    unlink: async (file) => {
      await unlink(file)
      events.push(`unlink ${name(file)}`)
    },
  }
  return { calls, events }
}

/** Calls of which one fails with this system error. */
function failing(verb: keyof FileCalls | 'write' | 'sync', code: string): FileCalls {
  const fail = async () => Promise.reject(systemError(code))
  if (verb !== 'write' && verb !== 'sync') return { ...realFileCalls, [verb]: fail }
  const openFailing = (async (...args: Parameters<typeof open>) => {
    const handle = await open(...args)
    if (args[1] === 'wx') Object.assign(handle, { [verb]: fail })
    return handle
  }) as typeof open
  return { ...realFileCalls, open: openFailing }
}

describe('a local folder', () => {
  it('syncs the file before it has its name, and every folder that got a new entry before put resolves', async () => {
    const root = await temporaryDirectory()
    const { calls, events } = recording(root)
    await new LocalBackend(root, { calls }).put('packs/ab/abcd', [Buffer.from('x')])
    expect(events).toEqual([
      'mkdir ~tmp',
      'sync .',
      'mkdir packs/ab',
      'sync packs',
      'sync .',
      'sync <temporary>',
      'link packs/ab/abcd',
      'sync packs/ab',
      'unlink <temporary>',
    ])
  })

  it('syncs the folder also for an object that someone else has just put', async () => {
    const root = await temporaryDirectory()
    await new LocalBackend(root).put('packs/ab/abcd', [Buffer.from('x')])
    const { calls, events } = recording(root)
    expect(await new LocalBackend(root, { calls }).put('packs/ab/abcd', [Buffer.from('x')])).toBe('exists')
    expect(events).toEqual(['sync <temporary>', 'sync packs/ab', 'unlink <temporary>'])
  })

  it.each(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'])(
    'says %s with the path and what was needed, and leaves no temporary file',
    async (code) => {
      for (const verb of ['write', 'sync', 'link', 'open', 'mkdir'] as const) {
        const root = await temporaryDirectory()
        const backend = new LocalBackend(root, { calls: failing(verb, code) })
        const put = backend.put('packs/ab/abcd', [Buffer.alloc(1234)])
        await expect(put).rejects.toMatchObject({ code: 'unavailable', details: { systemCode: code } })
        await expect(put).rejects.toThrow(
          verb === 'mkdir' || verb === 'open' ? root : /packs\/ab\/abcd: could not write 1234 bytes/,
        )
        expect(await readdir(path.join(root, '~tmp')).catch(() => [])).toEqual([])
        expect(await new LocalBackend(root).stat('packs/ab/abcd')).toBeUndefined()
      }
    },
  )

  it('refuses a folder that is not there, and does not make it', async () => {
    const root = path.join(await temporaryDirectory(), 'unmounted')
    const backend = new LocalBackend(root)
    await expect(backend.put('format', [])).rejects.toMatchObject({ code: 'not-found' })
    await expect(backend.list('').next()).rejects.toMatchObject({ code: 'not-found' })
    await expect(readdir(root)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('does not take a listing for empty when the folder is gone between', async () => {
    const root = await temporaryDirectory()
    const backend = new LocalBackend(root)
    await backend.put('packs/aa/aa', [Buffer.from('x')])
    await rm(root, { recursive: true })
    await expect(backend.list('packs/').next()).rejects.toMatchObject({ code: 'not-found' })
  })

  it('sees no temporary files, no symlinks and no files with names that objects cannot have', async () => {
    const root = await temporaryDirectory()
    const backend = new LocalBackend(root)
    await backend.put('index/good', [Buffer.from('x')])
    await writeFile(path.join(root, '~tmp', 'abc'), 'x')
    await writeFile(path.join(root, 'index', 'Good'), 'x')
    await symlink('/etc/hostname', path.join(root, 'index', 'link'))
    const names = []
    for await (const { name } of backend.list('')) names.push(name)
    expect(names).toEqual(['index/good'])
    expect(await backend.stat('index/link')).toBeUndefined()
  })

  it('takes away temporary files that a dead process left a day ago, and leaves younger ones', async () => {
    const root = await temporaryDirectory()
    await new LocalBackend(root).put('format', [Buffer.from('x')])
    const old = path.join(root, '~tmp', 'old')
    const young = path.join(root, '~tmp', 'young')
    await writeFile(old, 'x')
    await writeFile(young, 'x')
    await utimes(old, 1, 1)
    await new LocalBackend(root).put('index/1', [Buffer.from('x')])
    expect(await readdir(path.join(root, '~tmp'))).toEqual(['young'])
  })

  it('keeps objects from other users', async () => {
    const root = await temporaryDirectory()
    await new LocalBackend(root).put('packs/ab/abcd', [Buffer.from('x')])
    const handle = await open(path.join(root, 'packs/ab/abcd'))
    expect((await handle.stat()).mode & 0o777).toBe(0o600)
    await handle.close()
  })
})
