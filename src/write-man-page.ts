import { writeFile } from 'node:fs/promises'
import { manPage } from './cli/man-page.ts'
import { packageVersion } from './wiring.ts'

// Part of the build.
await writeFile(new URL('git-env.1', import.meta.url), await manPage(packageVersion()))
