import { describe, expect, test } from 'vitest'
import { compare, explain } from './compare.ts'
import { programs } from './programs/index.ts'
import { parentContexts } from './programs/parents.ts'
import { structure } from './programs/structure.ts'
import { times } from './programs/times.ts'
import { runWithLangfuse } from './run.ts'

test('programs have names of their own', () => {
  expect(new Set(programs.map((program) => program.name)).size).toBe(programs.length)
})

// Ids and clocks differ from run to run; if the comparison saw that, it would report it everywhere.
describe('two runs of the real SDK are equal', () => {
  const programsOfIdsAndClocks = [...structure, ...times, ...parentContexts]
  const [first, second] = [1, 2].map(() => runWithLangfuse(programsOfIdsAndClocks, 1))
  test.each(programsOfIdsAndClocks.map(({ name }) => name))('%s', async (name) => {
    const [one, other] = await Promise.all([first!.get(name)!, second!.get(name)!])
    expect(one.spans.length).toBeGreaterThan(0)
    expect(explain(compare(one, other).unexpected)).toBe('')
  })
})
