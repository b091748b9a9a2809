import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compare, explain } from './compare.ts'
import { intended, places } from './intended.ts'
import { programs } from './programs/index.ts'
import { type Offpath, type Runs, runWithLangfuse, runWithOffpath, startOffpath } from './run.ts'

describe('Offpath does what Langfuse does', () => {
  let offpath: Offpath
  let langfuseRuns: Runs
  let offpathRuns: Runs
  const occurred = new Set<string>()
  beforeAll(async () => {
    offpath = await startOffpath()
    langfuseRuns = runWithLangfuse(programs, 2)
    offpathRuns = runWithOffpath(programs, 8, offpath)
  })
  afterAll(() => offpath.close())

  test.each(programs.map(({ name }) => name))('%s', async (name) => {
    const [langfuse, ours] = await Promise.all([langfuseRuns.get(name)!, offpathRuns.get(name)!])
    const comparison = compare(langfuse, ours, intended)
    for (const place of comparison.occurred) occurred.add(place)
    expect(explain(comparison.unexpected)).toBe('')
  })

  test('no span was sent in two versions', () => {
    expect(offpath.server.duplicates.changed).toBe(0)
  })

  test('each intended difference occurs', () => {
    expect(places().filter((place) => !occurred.has(place))).toEqual([])
  })
})
