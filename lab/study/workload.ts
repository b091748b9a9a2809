import { readFileSync } from 'node:fs'
import { about, between, type Random, writeText } from '../apparatus/text.ts'
import type { Case } from './cases.ts'
import type { ServiceBody, Step } from './service.ts'

/** Of the fire: no two requests have the same text, and what they have is cut from a long stretch of prose. */
const PROSE_CHARACTERS = 4 * 1024 * 1024
const STEPS = 58
const JOBS = 50
const WAV_BYTES = 1_500_000

/** Writes bodies of a case. Each stretch of text is its own, so that nobody gains by having seen it. */
export function bodiesOf(
  path: Case['path'],
  characters: number,
  language: Case['language'],
  random: Random,
): () => Buffer {
  const prose = writeText(random, language, PROSE_CHARACTERS)
  const stretch = (length: number): string => {
    const at = between(random, 0, prose.length - length)
    return prose.slice(at, at + length)
  }
  const body = (): ServiceBody => ({
    user: `user-${between(random, 1, 1e6)}`,
    messages: messages(about(random, characters), stretch),
    ...(path === '/chat' && { documents: documents(characters >> 1, stretch, random) }),
    ...(path === '/agent' && { steps: Array.from({ length: STEPS }, (_, at) => step(at, random)) }),
    ...(path === '/audio' && { audio: wav(random) }),
    ...(path === '/jobs' && {
      jobs: Array.from({ length: JOBS }, () => stretch(about(random, characters))),
    }),
  })
  return () => Buffer.from(JSON.stringify(body()))

  function step(at: number, of: Random): Step {
    return {
      name: ['search_orders', 'rank', 'look-up', 'check-policy'][at % 4] as string,
      input: { query: stretch(between(of, 20, 90)), page: { size: 20, number: at } },
      output: { orders: between(of, 0, 9), note: stretch(between(of, 20, 120)), kept: of() < 0.5 },
    }
  }
}

/** Requests that a user brings: a line of JSON each, with `messages` and perhaps `documents`. Any of them, at random. */
export function ownBodies(file: string, random: Random): () => Buffer {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return () => Buffer.from(lines[between(random, 0, lines.length - 1)] as string)
}

/** What is wrong with such a file; undefined: nothing. */
export function whatIsWrongWith(file: string): string | undefined {
  let lines: string[]
  try {
    lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  } catch (error) {
    return (error as Error).message
  }
  if (lines.length === 0) return 'it is empty'
  for (const [at, line] of lines.entries()) {
    try {
      const { messages: given } = JSON.parse(line) as Partial<ServiceBody>
      if (Array.isArray(given) && given.length > 0) continue
      return `line ${at + 1} has no messages: {"messages":[{"role":"user","content":"…"}],"documents":…}`
    } catch {
      return `line ${at + 1} is not JSON`
    }
  }
  return undefined
}

function messages(size: number, stretch: (length: number) => string): ServiceBody['messages'] {
  const question = Math.min(200, size >> 3)
  const turn = Math.floor((size - question) * 0.15)
  return [
    { role: 'system', content: stretch(size - question - 2 * turn) },
    { role: 'user', content: stretch(turn) },
    { role: 'assistant', content: stretch(turn) },
    { role: 'user', content: stretch(question) },
  ]
}

function documents(size: number, stretch: (length: number) => string, random: Random): unknown {
  const hits: unknown[] = []
  for (let left = size; left > 0; ) {
    const length = Math.min(left, between(random, 400, 2400))
    left -= length
    hits.push({
      id: `doc-${between(random, 1, 1e9)}`,
      score: random(),
      content: stretch(length),
      source: {
        path: `contracts/${between(random, 2015, 2026)}.pdf`,
        page: between(random, 1, 99),
      },
    })
  }
  return { total: hits.length, hits }
}

/** Base64 of a WAV file of noise: 16 kHz, 16 bits, mono, 47 seconds. */
function wav(random: Random): string {
  const bytes = Buffer.alloc(WAV_BYTES)
  for (let at = 44; at < WAV_BYTES; at += 4) bytes.writeUInt32LE((random() * 2 ** 32) >>> 0, at)
  bytes.write('RIFF', 0)
  bytes.writeUInt32LE(WAV_BYTES - 8, 4)
  bytes.write('WAVEfmt ', 8)
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt16LE(1, 20)
  bytes.writeUInt16LE(1, 22)
  bytes.writeUInt32LE(16_000, 24)
  bytes.writeUInt32LE(32_000, 28)
  bytes.writeUInt16LE(2, 32)
  bytes.writeUInt16LE(16, 34)
  bytes.write('data', 36)
  bytes.writeUInt32LE(WAV_BYTES - 44, 40)
  return bytes.toString('base64')
}
