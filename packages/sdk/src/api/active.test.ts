import { expect, it, onTestFinished, vi } from 'vitest'
import { state } from '../context.ts'
import {
  getActiveSpanId,
  getActiveTraceId,
  setActiveTraceAsPublic,
  setActiveTraceIO,
  updateActiveObservation,
} from './active.ts'
import { startActiveObservation, startObservation } from './start.ts'
import { recordInMemory } from './test-recorder.ts'

it('updates the active observation, not one that was started within it', () => {
  const recorded = recordInMemory()
  startActiveObservation('active', () => {
    startObservation('passive')
    updateActiveObservation({ output: 1 })
    setActiveTraceIO({ input: 'in', output: 'out' })
    setActiveTraceAsPublic()
  })
  expect(recorded.one('active')).toMatchObject({
    output: 1,
    trace: { input: 'in', output: 'out', public: true },
  })
  expect(recorded.one('passive').output).toBeUndefined()
})

it('changes the type only when asType is given', () => {
  const recorded = recordInMemory()
  startActiveObservation('x', () => updateActiveObservation({ model: 'm' } as never), {
    asType: 'tool',
  })
  startActiveObservation('y', () =>
    updateActiveObservation({ model: 'm' }, { asType: 'generation' }),
  )
  expect(recorded.one('x')).toMatchObject({ type: 'tool', model: 'm' })
  expect(recorded.one('y')).toMatchObject({ type: 'generation', model: 'm' })
})

it('has its type set back by the next update of the observation itself', () => {
  const recorded = recordInMemory()
  startActiveObservation(
    'x',
    (x) => {
      updateActiveObservation({}, { asType: 'generation' })
      expect(x.type).toBe('tool')
      x.update({ output: 1 })
    },
    { asType: 'tool' },
  )
  expect(recorded.one('x').type).toBe('tool')
})

it('warns once where nothing is active', () => {
  recordInMemory()
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  state.warned.clear()
  expect(getActiveSpanId()).toBeUndefined()
  expect(getActiveTraceId()).toBeUndefined()
  for (let i = 0; i < 2; i++) {
    updateActiveObservation({ output: 1 })
    setActiveTraceIO({ input: 1 })
    setActiveTraceAsPublic()
  }
  expect(warn.mock.calls.map(([message]) => String(message).split(':')[0])).toEqual([
    'updateActiveObservation',
    'setActiveTraceIO',
    'setActiveTraceAsPublic',
  ])
})
