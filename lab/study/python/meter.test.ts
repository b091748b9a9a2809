import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { findPython } from '../../../scripts/pythons.ts'
import type { ServiceFigures } from '../results.ts'

const command = findPython(11)
if (command === undefined) console.warn('no Python from 3.11 on: its meter is not tried')

/** Figures of a loop in which nothing runs but what the program does meanwhile. */
function measured(meanwhile: string): ServiceFigures {
  const program = `
import asyncio, gc, json, time
from meter import Meter

async def main():
    meter = Meter(lambda: 0, lambda: 0)
    ${meanwhile}
    meter.loaded()
    print(json.dumps(meter.figures(1)))

asyncio.run(main())
`
  const options = { cwd: import.meta.dirname, encoding: 'utf8' as const }
  return JSON.parse(execFileSync(command as string, ['-B', '-c', program], options))
}

test.runIf(command)('sees the loop held while it looks at memory, which gives the GIL away', () => {
  const { stalls } = measured(`
    meter.begin()
    meter._all_rss_pages = lambda: time.sleep(0.05) or 1
    await asyncio.sleep(0.3)`)
  // It looks ten times a second.
  expect(stalls.filter(([, ms]) => ms > 40).length).toBeGreaterThanOrEqual(2)
})

test.runIf(command)('does not wait for the GIL because of a collection of its own', () => {
  const { gil, gc } = measured(`
    kept = [[] for _ in range(2_500_000)]
    begun = time.perf_counter()
    gc.collect()
    collected_ms = (time.perf_counter() - begun) * 1000
    assert collected_ms > 40, collected_ms
    meter.begin()
    await asyncio.sleep(0.1)`)
  expect(gil?.maxMs).toBeLessThan(30)
  expect(gc.full).toBe(0)
})
