import { describe, expect, test } from 'vitest'
import type { CapturedSpan } from '../langfuse-server/types.ts'
import { compare } from './compare.ts'
import * as given from './given.ts'
import { places } from './intended.ts'
import type { Run } from './run.ts'

const now = BigInt(Date.now()) * 1_000_000n
let generated = 0
const newId = (length: number): string => (++generated).toString(16).padStart(length, '9')

function span(name: string, overrides: Partial<CapturedSpan> = {}): CapturedSpan {
  return {
    traceId: newId(32),
    spanId: newId(16),
    parentSpanId: '',
    traceState: '',
    flags: 0x101,
    name,
    kind: 1,
    startTimeUnixNano: now + BigInt(++generated) * 1_000n,
    endTimeUnixNano: now + 1_000_000_000n,
    status: { code: 0, message: '' },
    attributes: { text: 'a', int: 1n, double: 1.5, list: ['a', 1n] },
    events: [{ name: 'e', timeUnixNano: 5n, attributes: { a: 1n }, droppedAttributesCount: 0 }],
    links: [
      {
        traceId: given.traceId,
        spanId: given.spanId,
        traceState: '',
        flags: 0x100,
        attributes: {},
        droppedAttributesCount: 0,
      },
    ],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    scope: { name: 'langfuse-sdk', version: '5.11.1', attributes: {}, schemaUrl: '' },
    resource: { attributes: { 'service.name': 'svc' }, schemaUrl: '' },
    project: 'pk',
    request: 1,
    ...overrides,
  }
}

// Two trees and a span in a given trace with given times, with new ids at each call.
function run(change: (spans: Record<string, CapturedSpan>) => void = () => {}): Run {
  const root = span('root')
  const child = span('child', { traceId: root.traceId, parentSpanId: root.spanId })
  const grandchild = span('grandchild', { traceId: root.traceId, parentSpanId: child.spanId })
  const other = span('other')
  const fixed = span('fixed', {
    traceId: given.traceId,
    parentSpanId: given.spanId,
    startTimeUnixNano: 1_700_000_000_123_000_000n,
    endTimeUnixNano: 1_700_000_005_456_000_000n,
  })
  const spans = { root, child, grandchild, other, fixed }
  change(spans)
  return {
    program: 'p',
    spans: Object.values(spans),
    reports: [['result', '1']],
    from: now,
    to: now,
  }
}

test('new ids, other clock times and another order of arrival are no difference', () => {
  const other = run()
  other.spans.reverse()
  expect(compare(run(), other).unexpected).toEqual([])
})

describe('finds', () => {
  const cases: [string, (spans: Record<string, CapturedSpan>) => void, string, string, string][] = [
    ['kind', (s) => (s.root!.kind = 3), '"root" kind', '1', '3'],
    ['flags', (s) => (s.root!.flags = 0x301), '"root" flags', '0x101', '0x301'],
    ['status', (s) => (s.root!.status = { code: 2, message: '' }), '"root" status.code', '0', '2'],
    [
      'status message',
      (s) => (s.root!.status = { code: 0, message: 'x' }),
      '"root" status.message',
      '""',
      '"x"',
    ],
    [
      'a changed attribute',
      (s) => (s.root!.attributes.text = 'b'),
      '"root" attributes.text',
      '"a"',
      '"b"',
    ],
    [
      "an attribute's type",
      (s) => (s.root!.attributes.int = 1),
      '"root" attributes.int',
      'int 1',
      'double 1',
    ],
    [
      "a list's item",
      (s) => (s.root!.attributes.list = ['a', '1']),
      '"root" attributes.list',
      '["a", int 1]',
      '["a", "1"]',
    ],
    [
      'a missing attribute',
      (s) => delete s.root!.attributes.text,
      '"root" attributes.text',
      '"a"',
      'absent',
    ],
    [
      'one more attribute',
      (s) => (s.root!.attributes.more = ''),
      '"root" attributes.more',
      'absent',
      '""',
    ],
    ['the event', (s) => (s.root!.events[0]!.name = 'f'), '"root" events.0.name', 'e', 'f'],
    [
      'the time of an event',
      (s) => (s.root!.events[0]!.timeUnixNano = 6n),
      '"root" events.0.time',
      '5',
      '6',
    ],
    ['a link', (s) => (s.root!.links[0]!.flags = 0), '"root" links.0.flags', '0x100', '0x0'],
    [
      'scope',
      (s) => (s.root!.scope = { ...s.root!.scope, name: 'x' }),
      '"root" scope.name',
      'langfuse-sdk',
      'x',
    ],
    [
      'resource',
      (s) => (s.root!.resource.attributes = {}),
      '"root" resource.service.name',
      '"svc"',
      'absent',
    ],
    [
      'a parent',
      (s) => (s.grandchild!.parentSpanId = s.root!.spanId),
      '"grandchild" parent',
      '"child"',
      '"root"',
    ],
    [
      'a lost parent',
      (s) => (s.grandchild!.parentSpanId = newId(16)),
      '"grandchild" parent',
      '"child"',
      'unknown',
    ],
    [
      'no parent',
      (s) => (s.grandchild!.parentSpanId = ''),
      '"grandchild" parent',
      '"child"',
      'none',
    ],
    [
      'another trace',
      (s) => (s.grandchild!.traceId = s.other!.traceId),
      '"grandchild" trace',
      'the trace of "child"',
      'the trace of "grandchild"',
    ],
    [
      'a generated id in place of a given one',
      (s) => (s.fixed!.traceId = newId(32)),
      '"fixed" trace',
      given.traceId,
      'the trace of "fixed"',
    ],
    [
      'a nanosecond in a given time',
      (s) => s.fixed!.startTimeUnixNano++,
      '"fixed" start',
      '1700000000123000000',
      '1700000000123000001',
    ],
    [
      'the clock in place of a given time',
      (s) => (s.fixed!.endTimeUnixNano = now),
      '"fixed" end',
      '1700000005456000000',
      'clock',
    ],
    [
      'a given time in place of the clock',
      (s) => (s.root!.startTimeUnixNano = 0n),
      '"root" start',
      'clock',
      '0',
    ],
    [
      'an end before its start',
      (s) => (s.root!.endTimeUnixNano = s.root!.startTimeUnixNano - 1n),
      '"root" order',
      'sound',
      'ends before it starts',
    ],
    ['a lost span', (s) => delete s.child, '"child" exists', 'exported', 'absent'],
    ['one more span', (s) => (s.more = span('more')), '"more" exists', 'absent', 'exported'],
  ]
  test.each(cases)('%s', (_, change, place, langfuse, offpath) => {
    const found = compare(run(), run(change)).unexpected
    expect(found.map(({ span: name, field }) => `${name} ${field}`)).toContain(place)
    expect(found).toContainEqual(expect.objectContaining({ langfuse, offpath }))
  })

  test('what was reported', () => {
    expect(compare(run(), { ...run(), reports: [['result', '2']] }).unexpected).toEqual([
      { program: 'p', span: '', field: 'result', langfuse: '1', offpath: '2' },
    ])
  })
})

test('an intended difference is allowed with its value where its entry says so, and nowhere else', () => {
  const where = {
    p: { '"root"': { 'attributes.more': 'int 1', kind: /3/ } },
    '*': { '*': { a: '' } },
  }
  const table = [{ id: 'more', what: '', reason: '', where }]
  const changed = run((spans) => {
    spans.root!.attributes.more = 1n
    spans.root!.kind = 2
    spans.other!.attributes.more = 1n
  })
  const { unexpected, occurred } = compare(run(), changed, table)
  expect([...occurred]).toEqual(['more > p > "root" > attributes.more'])
  expect(unexpected.map(({ span: name, field }) => `${name} ${field}`)).toEqual([
    '"root" kind',
    '"other" attributes.more',
  ])
  expect([...compare(run(), run(), table).occurred]).toEqual([])
  expect(places(table)).toEqual([
    'more > p > "root" > attributes.more',
    'more > p > "root" > kind',
    'more > * > * > a',
  ])
})

test('of a span that only Offpath has, what it says is told', () => {
  const found = compare(
    run(),
    run((spans) => (spans.more = span('more', { attributes: { a: 'x' } }))),
  ).unexpected
  expect(found).toContainEqual({
    program: 'p',
    span: '"more"',
    field: 'attributes.a',
    langfuse: 'absent',
    offpath: '"x"',
  })
})
