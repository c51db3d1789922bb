/** Buffers of at most this size may be parts of a pool that others use too. */
const pooledBytes = Math.max(Buffer.poolSize, 64 * 1024)

/**
 * Gives the memory of a buffer back at once; nothing may use it, or another view of it, afterwards. The garbage collector sees buffers as
 * small objects and lets tens of megabytes of them gather, which would be most of what a snapshot needs.
 */
export function freeMemory(bytes: Uint8Array): void {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength > pooledBytes) buffer.transfer(0)
}
