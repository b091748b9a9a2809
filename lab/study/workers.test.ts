import { expect, test } from 'vitest'
import { syntheticResults } from './report/synthetic.ts'
import type { ServiceFigures } from './results.ts'
import { together } from './workers.ts'

const [cell] = syntheticResults({ rounds: 1, seconds: 1, cases: ['chat'] }).cells
const { service } = cell as { service: ServiceFigures }

test('what workers hold adds up, and one flush that was given up is enough', () => {
  const figures = together([
    { ...service, held: 3, isFlushGivenUp: false },
    { ...service, held: 4, isFlushGivenUp: true },
  ])
  expect(figures).toMatchObject({ held: 7, isFlushGivenUp: true })
})

test('what one worker does not know nobody knows', () => {
  expect(together([{ ...service, held: 3 }, service])).not.toHaveProperty('held')
})
