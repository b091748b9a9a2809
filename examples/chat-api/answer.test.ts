import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Answer, assembleAnswer, readAnswer } from './answer.ts'

const chunk = (delta: object, index = 0, finish: string | null = null): string =>
  `data: ${JSON.stringify({ model: 'm', choices: [{ index, delta, finish_reason: finish }] })}\n\n`

function assemble(text: string, pieceLength = text.length): Answer {
  const bytes = Buffer.from(text)
  const pieces = assembleAnswer()
  for (let at = 0; at < bytes.length; at += pieceLength) {
    pieces.push(bytes.subarray(at, at + pieceLength))
  }
  return pieces.finish()
}

test('text is whole however the bytes were cut', () => {
  const text =
    chunk({ role: 'assistant', content: '' }) +
    chunk({ content: 'Chào bạn, ' }) +
    chunk({ content: 'tôi là 🤖' }, 0, 'stop') +
    'data: [DONE]\n\n'
  for (const length of [1, 2, 3, 7, 50, 1000]) {
    expect(assemble(text, length)).toMatchObject({
      message: { role: 'assistant', content: 'Chào bạn, tôi là 🤖' },
      model: 'm',
      finishReason: 'stop',
      malformed: 0,
      done: true,
    })
  }
})

test('tool calls, reasoning and several choices are put together', () => {
  const call = (index: number, part: object): string => chunk({ tool_calls: [{ index, ...part }] })
  const tools =
    chunk({ role: 'assistant', reasoning_content: 'Let me ' }) +
    chunk({ reasoning_content: 'look.' }) +
    call(0, { id: 'a', type: 'function', function: { name: 'find', arguments: '' } }) +
    call(0, { function: { arguments: '{"q":' } }) +
    call(1, { id: 'b', type: 'function', function: { name: 'open', arguments: '{}' } }) +
    call(0, { function: { arguments: '1}' } })
  expect(assemble(tools).message).toEqual({
    role: 'assistant',
    reasoning_content: 'Let me look.',
    tool_calls: [
      { id: 'a', type: 'function', function: { name: 'find', arguments: '{"q":1}' } },
      { id: 'b', type: 'function', function: { name: 'open', arguments: '{}' } },
    ],
  })

  const two = chunk({ content: 'A' }, 0) + chunk({ content: 'B' }, 1) + chunk({ content: 'a' }, 0)
  expect(assemble(two).message).toEqual([{ content: 'Aa' }, { content: 'B' }])
})

test('the first token is the first delta with more than a role', async () => {
  const pieces = assembleAnswer()
  pieces.push(Buffer.from(chunk({ role: 'assistant', content: '' })))
  await turn()
  const before = Date.now()
  pieces.push(Buffer.from(chunk({ content: 'now' })))
  const after = Date.now()
  const until = performance.now() + 30
  while (performance.now() < until);
  // The time is that of the coming, not that of the parsing.
  const { firstTokenAt } = pieces.finish()
  expect(firstTokenAt?.getTime()).toBeGreaterThanOrEqual(before)
  expect(firstTokenAt?.getTime()).toBeLessThanOrEqual(after)
  expect(assemble(chunk({ role: 'assistant', content: '' })).firstTokenAt).toBeUndefined()
})

test('a piece is parsed after the turn in which it came', async () => {
  let parsed = 0
  const original = JSON.parse
  JSON.parse = (...args) => {
    parsed++
    return original(...args)
  }
  try {
    const pieces = assembleAnswer()
    pieces.push(Buffer.from(chunk({ content: 'a' })))
    pieces.push(Buffer.from(chunk({ content: 'b' })))
    expect(parsed).toBe(0)
    await turn()
    expect(parsed).toBe(2)
  } finally {
    JSON.parse = original
  }
})

test('comments, CRLF, usage, errors and broken lines', () => {
  const answer = assemble(
    ': ping\r\n\r\ndata: {"ch\r\n\r\n' +
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\r\n\r\n' +
      'data: {"error":{"message":"out of memory"}}\r\n\r\n',
  )
  expect(answer).toEqual({
    malformed: 1,
    done: false,
    error: 'out of memory',
    usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
  })
})

test('a whole body is read as it is', () => {
  const message = { role: 'assistant', content: 'hi' }
  const body = { model: 'm', choices: [{ message, finish_reason: 'stop' }] }
  expect(readAnswer(JSON.stringify(body))).toMatchObject({
    message,
    model: 'm',
    finishReason: 'stop',
  })
  expect(readAnswer('<html>').error).toBe('it is not JSON')
})
