import { execFileSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const folders = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin']
const policyFile = '/usr/sbin/policy-rc.d'

/** The program's path; installs its package where that is missing and we may, without letting apt start a server of the system. */
export function findProgram(name: string, packageName: string): string {
  const found = lookFor(name)
  if (found) return found
  const command = `apt-get install -y --no-install-recommends ${packageName}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`${name} is not installed, and these tests need it: sudo ${command}`)
  }
  const ours = !existsSync(policyFile)
  if (ours) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    execFileSync('sh', ['-c', `apt-get -o DPkg::Lock::Timeout=300 update -q; ${command} -o DPkg::Lock::Timeout=300`], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  } finally {
    if (ours) rmSync(policyFile, { force: true })
  }
  const installed = lookFor(name)
  if (!installed) throw new Error(`${name} is missing although this went well: ${command}`)
  return installed
}

function lookFor(name: string): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(':'), ...folders]
  return places.map((folder) => path.join(folder, name)).find((file) => existsSync(file))
}
