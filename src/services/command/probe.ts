import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import type { Probe, ServiceContext } from '../service-driver.ts'
import type { Commands } from './commands.ts'

/** What can be told without running anything: whether the programs are there. */
export async function probeCommands(commands: Commands, context: ServiceContext): Promise<Probe> {
  const { dump, restore, limitMs } = commands
  const warnings = [dump, restore].flatMap(([program = '']) =>
    isThere(program, context) ? [] : [`${program} is not there, or cannot be run: a snapshot or a restore will fail`],
  )
  return {
    presence: 'present',
    summary: `dumped by ${dump.join(' ')}, restored by ${restore.join(' ')}, each within ${limitMs / 1000} s`,
    bytes: 0,
    versions: {},
    rung: 'live: the dump runs right after the common point, and what is written while a restore is at work is lost',
    swap: 'in place',
    warnings,
  }
}

function isThere(program: string, { projectDirectory, commands }: ServiceContext): boolean {
  const folders = program.includes('/')
    ? [projectDirectory]
    : (commands.environment['PATH'] ?? '').split(path.delimiter)
  return folders.some((folder) => {
    try {
      accessSync(path.resolve(projectDirectory, folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
