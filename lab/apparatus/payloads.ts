import { about, between, type Language, type Random, writeText } from './text.ts'

// What a service in front of a model receives and passes on. Sizes are characters of text, so that the same case in
// Vietnamese has as many characters and more bytes.

export interface Message {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string
}

/** A system prompt with most of the text, turns of different lengths, and a question. */
export function writeMessages(random: Random, language: Language, size: number): Message[] {
  const question = Math.min(200, size >> 3)
  const system = Math.round((size - question) * (0.6 + 0.2 * random()))
  const messages: Message[] = [{ role: 'system', content: writeText(random, language, system) }]
  const turns = 2 * between(random, 1, 3)
  let left = size - question - system
  for (let turn = 0; turn < turns; turn++) {
    const length =
      turn === turns - 1 ? left : Math.round((left / (turns - turn)) * (0.4 + random()))
    messages.push({
      role: turn % 2 === 0 ? 'user' : 'assistant',
      content: writeText(random, language, Math.min(left, length)),
    })
    left -= Math.min(left, length)
  }
  messages.push({ role: 'user', content: writeText(random, language, question) })
  return messages
}

/** What a retriever answers: deep JSON around `size` characters of text in parts of 0.4 to 2.4 K. */
export function writeDocuments(random: Random, language: Language, size: number): unknown {
  const hits: unknown[] = []
  for (let left = size; left > 0; ) {
    const length = Math.min(left, between(random, 400, 2400))
    left -= length
    hits.push({
      id: `doc-${between(random, 1, 1e9)}`,
      score: random(),
      content: writeText(random, language, length),
      source: {
        path: `contracts/${between(random, 2015, 2026)}/${between(random, 1, 9999)}.pdf`,
        page: between(random, 1, 120),
        section: { number: [between(random, 1, 9), between(random, 1, 20)], heading: null },
        position: {
          from: { line: between(random, 1, 60), column: 0 },
          lines: between(random, 2, 40),
        },
      },
      tags: ['contract', random() < 0.5 ? 'signed' : 'draft'],
      current: random() < 0.9,
    })
  }
  return { took_ms: between(random, 2, 30), index: 'contracts-v3', total: hits.length, hits }
}

/** What a model answers to a chat request, and how long it takes. */
export interface Answer {
  readonly upstreamMs: number
  readonly message: Message
  readonly usage: { readonly input: number; readonly output: number; readonly total: number }
}

export function writeAnswer(random: Random, language: Language, size: number): Answer {
  const input = between(random, 200, 60_000)
  const output = Math.ceil(size / 4)
  return {
    upstreamMs: 25 + 10 * random(),
    message: { role: 'assistant', content: writeText(random, language, about(random, size)) },
    usage: { input, output, total: input + output },
  }
}

/** Arguments of a tool call as models write them. */
export function writeToolCall(random: Random): unknown {
  return {
    id: `call_${between(random, 1, 1e9).toString(36)}`,
    name: 'search_orders',
    arguments: {
      query: writeText(random, 'en', between(random, 20, 90)),
      filter: {
        status: ['open', 'delayed'],
        total: { min: between(random, 1, 500), currency: 'EUR' },
      },
      page: { size: 20, cursor: null },
    },
  }
}

/** JSON as it comes from a socket. */
export function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** The value with strings of its own, flat, as a service gets it from a request or a response. */
export function fromJson<T>(json: Buffer): T {
  return JSON.parse(json.toString()) as T
}
