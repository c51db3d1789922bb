import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { temporaryDirectory } from './temporary.ts'

/** Certificates for localhost, each signed by itself: `<name>.pem` and `<name>.key`. Gives where a file lies. */
export async function makeCertificates(...names: readonly string[]): Promise<(file: string) => string> {
  const folder = await temporaryDirectory()
  const file = (name: string) => path.join(folder, name)
  for (const name of names) {
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '9', '-subj', '/CN=localhost'],
        ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)],
      ],
      { stdio: 'ignore' },
    )
  }
  return file
}
