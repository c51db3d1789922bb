import { MemoryBackend } from '../../src/backends/memory.ts'
import { storageBackendContract } from '../contract/storage-backend.ts'

storageBackendContract('memory', async () => new MemoryBackend())
