import { expect, test } from 'vitest'
import { accountOf, missingOf } from './account.ts'

const times = (...names: [string, number][]) => new Map(names)
const nothing = { deadLetters: [], trimmed: [], held: [], dropped: {} }

test('what is in no place is lost', () => {
  const said = new Map([['a1', { recorded: 3, lost: {} }]])
  const received = times(['a1-1', 1], ['a1-3', 1])
  expect(accountOf({ ...nothing, said, received })).toMatchObject({
    accepted: 3,
    delivered: 2,
    lost: 1,
  })
})

test('each is counted once, in the first of its places', () => {
  const said = new Map([['a1', { recorded: 6, lost: { spool_full: 1 } }]])
  expect(
    accountOf({
      said,
      received: times(['a1-1', 3], ['a1-2', 1], ['b1-1', 5]),
      deadLetters: ['a1-2', 'a1-3'],
      trimmed: ['a1-1', 'a1-4'],
      held: ['a1-5', 'a1-3'],
      dropped: {},
    }),
  ).toEqual({
    accepted: 6,
    delivered: 2,
    deadLettered: 1,
    dropped: { trimmed: 1, spool_full: 1 },
    held: 1,
    lost: 0,
    duplicates: 2,
  })
})

test('what arrives of one that was killed before it could say so was accepted', () => {
  const said = new Map([['a1', { recorded: 1, lost: {} }]])
  const received = times(['a1-1', 1], ['a1-2', 1])
  expect(accountOf({ ...nothing, said, received })).toMatchObject({ accepted: 2, lost: 0 })
})

test('what is counted as dropped and arrives is told', () => {
  const said = new Map([['a1', { recorded: 1, lost: { slow_disk: 1 } }]])
  expect(accountOf({ ...nothing, said, received: times(['a1-1', 1]) }).lost).toBe(-1)
})

test('one that is lost does not hide behind one that is counted as dropped and arrives', () => {
  const said = new Map([
    ['a1', { recorded: 1, lost: { slow_disk: 1 } }],
    ['b1', { recorded: 1, lost: {} }],
  ])
  const seen = { ...nothing, said, received: times(['a1-1', 1]) }
  expect(accountOf(seen).lost).toBe(0)
  expect(missingOf(seen)).toEqual([
    'a1: 0 of 1 are missing, and it counts 1: ',
    'b1: 1 of 1 are missing, and it counts 0: 1',
  ])
})
