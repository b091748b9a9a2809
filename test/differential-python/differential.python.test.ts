import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findPython } from '../../scripts/pythons.ts'
import { compare, explain } from '../differential/compare.ts'
import { places } from '../differential/intended.ts'
import {
  type Offpath,
  type Runs,
  runWithLangfuse,
  runWithOffpath,
  startOffpath,
} from '../differential/run.ts'
import { decoded } from './decoded.ts'
import { intended } from './intended.ts'
import { listPrograms, pythonOf, startPython, VERSIONS, type Version } from './run.ts'

// Langfuse 5 needs 3.11.
const command = findPython(11)
if (command === undefined) console.warn('no Python from 3.11 on: nothing is compared')

describe.skipIf(command === undefined)('the Python client does what Langfuse does', () => {
  const python = (version: Version): string => pythonOf(command!, version)
  const programs = command === undefined ? [] : listPrograms(python(5))
  const of = (version: Version) => programs.filter(({ versions }) => versions.includes(version))
  const langfuseRuns = new Map<Version, Runs>()
  const occurred = new Set<string>()
  let offpath: Offpath
  let offpathRuns: Runs
  beforeAll(async () => {
    // All are there before the server is: making one holds up this process, and with it the server, for a minute.
    const starts = VERSIONS.map((version) => [version, startPython(python(version))] as const)
    offpath = await startOffpath()
    offpathRuns = runWithOffpath(programs, 4, offpath, startPython(python(5)))
    for (const [version, start] of starts) {
      langfuseRuns.set(version, runWithLangfuse(of(version), 1, start))
    }
  })
  afterAll(() => offpath.close())

  describe.each(VERSIONS)('%i', (version) => {
    test.each(of(version).map(({ name }) => name))('%s', async (name) => {
      const langfuse = await langfuseRuns.get(version)!.get(name)!
      const ours = await offpathRuns.get(name)!
      const table = intended.filter(({ versions }) => versions.includes(version))
      const comparison = compare(decoded(langfuse, version === 5), decoded(ours, false), table)
      for (const place of comparison.occurred) occurred.add(place)
      expect(explain(comparison.unexpected)).toBe('')
    })
  })

  test('no span was sent in two versions', () => {
    expect(offpath.server.duplicates.changed).toBe(0)
  })

  test('each intended difference occurs', () => {
    expect(places(intended).filter((place) => !occurred.has(place))).toEqual([])
  })
})
