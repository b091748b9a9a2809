import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { readSegments } from '../testing/assemble.ts'
import { allSegmentsIn, temporaryDirectory } from '../testing/spool-files.ts'

/** Kills a process that records as fast as it can after so many ms; how many it said were flushed. */
async function killed(base: string, ending: string, milliseconds: number): Promise<number> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'lifetime.child.ts'), base, ending],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    // The last complete line.
    said = (said + chunk).slice(-1000)
  })
  await once(child.stdout, 'data')
  await delay(milliseconds)
  child.kill('SIGKILL')
  await once(child, 'close')
  return Number(said.split('\n').at(-2))
}

/** A writer that is killed between creating a file and beginning it leaves it empty: its newest, and no other. */
function removeUnbegun(directory: string): void {
  const newest = readdirSync(directory)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .at(-1)
  if (newest === undefined || statSync(join(directory, newest)).size > 0) return
  rmSync(join(directory, newest))
}

test.each(['kill', 'kill each record'])(
  '%s: of what was flushed before SIGKILL nothing is lost',
  async (ending) => {
    let flushed = 0
    for (let kill = 0; kill < 30; kill++) {
      const base = temporaryDirectory()
      const acknowledged = await killed(base, ending, (kill * 7) % 50)
      flushed += acknowledged
      const memory = join(base, 'memory')
      removeUnbegun(memory)
      const segments = allSegmentsIn(memory)
      const { observations, dangling } = readSegments(segments)
      expect(dangling).toBe(0)
      expect(observations.length).toBeGreaterThanOrEqual(acknowledged)
      observations.forEach(({ name, input }, i) => {
        expect(name).toBe(`main ${i}`)
        expect(input).toEqual({ text: `${i} `.repeat((i % 50) * 20) })
      })
      const unfinished = observations.filter(({ finished }) => !finished)
      expect(unfinished.length).toBeLessThanOrEqual(1)
      for (const segment of segments.slice(0, -1))
        expect(segment).toMatchObject({ ended: true, skipped: 0 })
    }
    expect(flushed).toBeGreaterThan(1000)
  },
)
