import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Profiler } from '../run.ts'
import { attributeProfile } from './profile.ts'

/** The service writes a CPU profile of its load; it is cut at the stalls. */
export function profiler(): Profiler {
  const directory = mkdtempSync(join(tmpdir(), 'offpath-lab-'))
  const file = join(directory, 'service.cpuprofile')
  return {
    tool: "V8's CPU profiler, each 0.5 ms",
    watch: { request: { profile: file } },
    async attribute(cell) {
      try {
        return attributeProfile(file, cell.service.stalls)
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
  }
}
