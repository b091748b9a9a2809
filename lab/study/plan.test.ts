import { describe, expect, test } from 'vitest'
import type { Arm } from './arms.ts'
import { chosenArms, planOfCells, type StudyOptions } from './plan.ts'

const arm = (id: string, more: Partial<Arm> = {}): Arm => ({
  ...{ id, title: id, what: `${id}.`, group: 'installed', settings: {} },
  cases: ['chat', 'rag'],
  ...more,
})
const ARMS = [
  arm('untraced', { group: 'baseline', swept: true }),
  arm('sdk', { swept: true }),
  arm('tuned', { group: 'tuned' }),
  arm('handler', { cases: ['chat'] }),
]
const WHOLE: StudyOptions = {
  ...{ quick: false, sweeps: false, slow: false, seed: 1 },
  ...{ arms: undefined, cases: undefined, bodies: undefined },
  ...{ rounds: undefined, seconds: undefined, perSecond: undefined },
}

function cellsOf(options: Partial<StudyOptions>): string[] {
  const asked = { ...WHOLE, ...options }
  const plans = planOfCells(chosenArms(ARMS, ['sdk'], asked), asked)
  return plans.map(({ part, arm: { id }, again, case: name, characters, perSecond, round }) => {
    const where = part === 'cases' ? name : part === 'sizes' ? characters / 1024 : perSecond
    return `${round} ${part} ${where} ${id}${again ? ' again' : ''}`
  })
}

describe('a whole run', () => {
  const cells = cellsOf({})

  test('has each arm in its cases twice, and the untraced one twice in each round', () => {
    const inChat = cells.filter((cell) => cell.includes('cases chat'))
    expect(inChat.toSorted()).toEqual(
      [1, 2].flatMap((round) =>
        ['handler', 'sdk', 'tuned', 'untraced', 'untraced again'].map(
          (id) => `${round} cases chat ${id}`,
        ),
      ),
    )
  })

  test('sweeps the arms that are marked, once, with the pair that shows the noise', () => {
    const swept = cells.filter((cell) => !cell.includes('cases'))
    const steps = [
      ...[4, 16, 64, 256].map((kb) => `sizes ${kb}`),
      'rates 50',
      'rates 100',
      'rates 150',
    ]
    const each = ['sdk', 'untraced', 'untraced again']
    expect(swept.toSorted()).toEqual(
      steps.flatMap((step) => each.map((id) => `1 ${step} ${id}`)).toSorted(),
    )
  })

  test('runs in another order with another seed, and in the same with the same', () => {
    expect(cellsOf({})).toEqual(cells)
    expect(cellsOf({ seed: 2 })).not.toEqual(cells)
    expect(cellsOf({ seed: 2 }).toSorted()).toEqual(cells.toSorted())
  })
})

test('a part of the run has no sweeps', () => {
  for (const part of [{ quick: true }, { arms: ['sdk'] }, { cases: ['rag' as const] }]) {
    expect(cellsOf(part).filter((cell) => !cell.includes('cases'))).toEqual([])
  }
})

test('a slow machine, and any in a quick run, is asked for half where many are asked for', () => {
  const load = (options: Partial<StudyOptions>): string[] => {
    const asked = { ...WHOLE, cases: ['rag', 'longctx'] as const, rounds: 1, ...options }
    const arms = [arm('untraced', { cases: ['rag', 'longctx'] })]
    const plans = planOfCells(arms, asked).filter(({ again }) => !again)
    return plans.map(({ case: name, perSecond, seconds }) => `${name} ${perSecond} ${seconds}`)
  }
  expect(load({}).toSorted()).toEqual(['longctx 20 50', 'rag 100 10'])
  expect(load({ slow: true }).toSorted()).toEqual(['longctx 20 50', 'rag 50 20'])
  expect(load({ quick: true }).toSorted()).toEqual(['longctx 20 10', 'rag 50 7'])
  const rates = new Set(cellsOf({ sweeps: true, slow: true }).map((cell) => cell.split(' ')[2]))
  expect(rates).toEqual(new Set(['4', '16', '64', '256', '50', '25', '75']))
})

describe('the sweeps alone', () => {
  test('are of the marked arms, or of any that is asked for and what it is compared with', () => {
    const idsOf = (cells: readonly string[]) => new Set(cells.map((cell) => cell.split(' ')[3]))
    expect(idsOf(cellsOf({ sweeps: true }))).toEqual(new Set(['untraced', 'sdk']))
    expect(idsOf(cellsOf({ sweeps: true, arms: ['tuned'] }))).toEqual(
      new Set(['untraced', 'tuned']),
    )
  })

  test('have as many rounds as are asked for, and no cases', () => {
    const cells = cellsOf({ sweeps: true, rounds: 2 })
    expect(cells).toHaveLength(2 * 7 * 3)
    expect(cells.filter((cell) => cell.includes('cases'))).toEqual([])
  })
})
