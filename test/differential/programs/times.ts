import { startActiveObservation, startObservation } from '#tracing'
import * as given from '../given.ts'
import type { Program } from '../program.ts'

// Both libraries take what OpenTelemetry takes; the types name Date alone.
const time = (value: unknown): Date => value as Date

export const times: Program[] = [
  {
    name: 'given times',
    run() {
      const span = (name: string, startTime: unknown, endTime: unknown): void =>
        startObservation(name, {}, { startTime: time(startTime) }).end(time(endTime))
      span('dates', given.start, given.end)
      span('milliseconds', 1_700_000_000_123, 1_700_000_005_456)
      span('fractions of milliseconds', 1_700_000_000_123.456, 1_700_000_005_456.789)
      span('high resolution', [1_700_000_000, 123_456_789], [1_700_000_005, 1])
      span('nanoseconds above a second', [1_700_000_000, 1_500_000_000], [1_700_000_005, 0])
      span('mixed', given.start, [1_700_000_005, 456_789_012])
      span('no duration', given.start, given.start)
      span('the end before the start', given.end, given.start)
      span('the end a nanosecond before', [1_700_000_000, 5], [1_700_000_000, 4])
      span('1970', new Date(0), new Date(1))
      span('2100', new Date(4_102_444_800_000), new Date(4_102_444_801_000))
      startObservation('only an end, long ago').end(given.end)
      startObservation('only an end, far ahead').end(new Date(4_102_444_800_000))
      startObservation('only a start', {}, { startTime: given.start }).end()
      startObservation('start far ahead', {}, { startTime: new Date(4_102_444_800_000) }).end()
      span('null', null, null)
      span('undefined', undefined, undefined)
    },
  },
  {
    name: 'times relative to the process',
    run() {
      startObservation('performance.now', {}, { startTime: time(performance.now()) }).end(
        time(performance.now()),
      )
      startObservation('zero', {}, { startTime: time(0) }).end(time(0))
      startObservation('clock').end(time(Date.now()))
    },
  },
  {
    name: 'given times of events and active observations',
    async run() {
      startObservation('event', {}, { asType: 'event', startTime: given.start })
      startObservation('event, high resolution', {}, {
        asType: 'event',
        startTime: time([1_700_000_000, 7]),
      } as { asType: 'event' })
      startObservation('event now', {}, { asType: 'event' })
      startActiveObservation('active', () => {}, { startTime: given.start })
      startActiveObservation('active and ended by hand', (active) => active.end(given.end), {
        startTime: given.start,
      })
      await startActiveObservation('async', async () => {}, { startTime: given.start })
    },
  },
  {
    name: "a child's given start is ignored",
    run() {
      const parent = startObservation('parent', {}, { startTime: given.start })
      parent
        .startObservation('child', {}, { startTime: given.start, asType: 'span' } as object)
        .end()
      parent
        .startObservation('child with a parent context', {}, {
          parentSpanContext: given.parent,
        } as object)
        .end(given.end)
      parent.end(given.end)
    },
  },
]
