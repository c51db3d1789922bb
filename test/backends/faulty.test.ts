import { describe, expect, it } from 'vitest'
import { type FaultRule, FaultyBackend } from '../../src/backends/faulty.ts'
import { MemoryBackend } from '../../src/backends/memory.ts'
import { storageBackendContract } from '../contract/storage-backend.ts'

storageBackendContract('faulty without faults', async () => new FaultyBackend(new MemoryBackend(), []))

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

async function faulty(rules: readonly FaultRule[]) {
  const inner = new MemoryBackend()
  await inner.put('old', [Buffer.from('abcdef')])
  await inner.put('older', [Buffer.from('abcdef')])
  return { inner, backend: new FaultyBackend(inner, rules) }
}

describe('a faulty backend', () => {
  it('fails the call it was told to, and no other', async () => {
    const { backend } = await faulty([{ verb: 'get', call: 2, fault: { kind: 'fail' } }])
    expect(text(await backend.get('old'))).toBe('abcdef')
    await expect(backend.get('old')).rejects.toThrow('the store does not answer')
    expect(text(await backend.get('old'))).toBe('abcdef')
    expect(backend.calls).toHaveLength(3)
  })

  it('counts only the names that fit', async () => {
    const { backend } = await faulty([{ verb: 'get', call: 1, name: /^older$/, fault: { kind: 'fail' } }])
    expect(text(await backend.get('old'))).toBe('abcdef')
    await expect(backend.get('older')).rejects.toThrow('the store does not answer')
  })

  it('does the work and loses the answer', async () => {
    const { backend, inner } = await faulty([{ verb: 'put', fault: { kind: 'fail-late' } }])
    await expect(backend.put('new', [Buffer.from('x')])).rejects.toThrow('the store does not answer')
    expect(text(await inner.get('new'))).toBe('x')
  })

  it('lies about bytes, in what it gives and in what it stores', async () => {
    const { backend, inner } = await faulty([
      { verb: 'get', call: 1, fault: { kind: 'flip' } },
      { verb: 'get', call: 2, fault: { kind: 'short' } },
      { verb: 'put', fault: { kind: 'flip' } },
    ])
    expect(text(await backend.get('old'))).toBe('abceef')
    expect(text(await backend.get('old'))).toBe('abc')
    await backend.put('new', [Buffer.from('abcdef')])
    expect(text(await inner.get('new'))).toBe('abceef')
  })

  it('lies about what is there', async () => {
    const { backend } = await faulty([
      { verb: 'list', fault: { kind: 'omit' } },
      { verb: 'stat', fault: { kind: 'omit' } },
    ])
    const names = []
    for await (const { name } of backend.list('')) names.push(name)
    expect(names).toEqual(['older'])
    expect(await backend.stat('old')).toBeUndefined()
  })

  it('loses with the power what it only said was stored', async () => {
    const { backend } = await faulty([{ verb: 'put', call: 1, fault: { kind: 'unsynced' } }])
    await backend.put('lost', [Buffer.from('x')])
    await backend.put('kept', [Buffer.from('y')])
    expect(text(await backend.get('lost'))).toBe('x')
    await backend.losePower()
    expect(await backend.stat('lost')).toBeUndefined()
    expect(text(await backend.get('kept'))).toBe('y')
  })

  it('sleeps', async () => {
    const { backend } = await faulty([{ verb: 'stat', fault: { kind: 'sleep', ms: 30 } }])
    const start = performance.now()
    await backend.stat('old')
    expect(performance.now() - start).toBeGreaterThan(25)
  })
})
