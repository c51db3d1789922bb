import { probeMount } from '../files/probe.ts'
import type { Probe } from '../service-driver.ts'
import type { Volume } from './volume.ts'

export async function probeVolume({ mountAt, root, commands }: Volume): Promise<Probe> {
  const probe = await probeMount(mountAt(root))
  if (commands) {
    const { stop, start, options } = commands
    const rung = `frozen: it is stopped (${stop.join(' ')}) while what has changed is read, and started again (${start.join(' ')}), each within ${options.limitMs / 1000} s`
    return { ...probe, rung }
  }
  const warning = 'nothing stops its service: stop it yourself before a restore, or its files are swapped under it'
  return {
    ...probe,
    rung: 'live: nothing stops whoever writes to it, so the files may be of several moments',
    advice: 'name commands: stop: [systemctl, stop, …] and start: [systemctl, start, …]',
    warnings: [...probe.warnings, warning],
  }
}
