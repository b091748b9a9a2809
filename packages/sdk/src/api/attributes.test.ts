import * as langfuse from '@langfuse/tracing'
import { describe, expect, it } from 'vitest'
import {
  createObservationAttributes,
  createTraceAttributes,
  LangfuseOtelSpanAttributes,
} from './attributes.ts'

it('has the names of Langfuse', () => {
  expect(LangfuseOtelSpanAttributes).toEqual(langfuse.LangfuseOtelSpanAttributes)
})

class Account {
  id = 1
  toJSON(): unknown {
    return { account: this.id }
  }
}
const circular: Record<string, unknown> = {}
circular.self = circular
const VALUES: unknown[] = [
  '',
  'text',
  0,
  1.5,
  Number.NaN,
  true,
  false,
  null,
  undefined,
  [],
  {},
  [undefined],
  { u: undefined },
  5n,
  circular,
  new Date(0),
  new Date(Number.NaN),
  new Map([[1, 2]]),
  new Error('e'),
  new Uint8Array(2),
  new Account(),
  () => 1,
  Symbol('s'),
]

describe('encodes as Langfuse does', () => {
  it.each(VALUES.map((value) => [value]))('%o', (value) => {
    const metadata = { value, nested: { value } }
    for (const attributes of [
      { input: value, output: value, metadata },
      { metadata: value },
      {
        usageDetails: value,
        modelParameters: value,
        completionStartTime: value,
        level: value,
        model: value,
      },
      { prompt: { name: value, version: value, isFallback: false } },
      { prompt: { name: 'p', version: 1, isFallback: true } },
    ]) {
      expect(createObservationAttributes('tool', attributes as never)).toEqual(
        langfuse.createObservationAttributes('tool', attributes as never),
      )
    }
    expect(createTraceAttributes({ input: value, output: value })).toEqual(
      langfuse.createTraceAttributes({ input: value, output: value }),
    )
  })

  it('nothing', () => {
    expect(createTraceAttributes()).toEqual({})
    expect(createObservationAttributes('span', {})).toEqual({ 'langfuse.observation.type': 'span' })
  })
})
