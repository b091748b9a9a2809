import { afterEach, beforeEach, expect, test } from 'vitest'
import { startTarget, type Target } from './target.ts'

let target: Target
beforeEach(async () => {
  target = await startTarget({ pk: 'sk' })
})
afterEach(() => target.close())

/** Sends one span with the given input. */
async function send(input: string, over: object = {}): Promise<number> {
  const span = {
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    name: 'run-1',
    startTimeUnixNano: '1000',
    endTimeUnixNano: '2000',
    attributes: [{ key: 'langfuse.observation.input', value: { stringValue: input } }],
    ...over,
  }
  const response = await fetch(`${target.server.url}/api/public/otel/v1/traces`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${btoa('pk:sk')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  })
  return response.status
}

const changed = (): number => {
  // What has arrived is taken.
  expect(target.lostAnswers).toBe(0)
  return target.changed
}

test('the same again is no change', async () => {
  expect(await send('Xin chào')).toBe(200)
  expect(await send('Xin chào')).toBe(200)
  expect(changed()).toBe(0)
  expect(target.received).toEqual(new Map([['run-1', 2]]))
})

test('any other content is one', async () => {
  await send('Xin chào')
  await send('Xin chao')
  expect(changed()).toBe(1)
  await send('Xin chao', { status: { code: 2 } })
  expect(changed()).toBe(2)
})
