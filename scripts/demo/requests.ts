import { seededRandom, writeTokens } from '../../examples/vllm-simulator/text.ts'

export const REQUESTS = 60
/** So few that it takes some seconds: what tracing costs is their median. */
const CONCURRENT = 3
const LONG_CHARS = 64 * 1024

export const KINDS = ['answered', 'streamed', 'long', 'failing', 'aborted'] as const
type Kind = (typeof KINDS)[number]

interface Planned {
  readonly kind: Kind
  readonly stream: boolean
  readonly question: string
  readonly headers: Readonly<Record<string, string>>
}

/** One request that was sent, and how it ended for the client. */
export interface Sent {
  readonly kind: Kind
  /** Sent as the request's user, so that its trace can be found. */
  readonly user: string
  /** HTTP status, or 0 when the client left before it came. */
  readonly status: number
}

/**
 * Sends the chat API its 60 requests, three at a time: streamed and not, twelve with 64 KB of context (half of them
 * Vietnamese), six whose upstream fails, six whose client leaves. The same `seed` sends the same.
 */
export async function sendRequests(
  chatUrl: string,
  run: string,
  seed: number,
  onProgress: (done: number) => void,
): Promise<Sent[]> {
  const random = seededRandom(seed)
  const plan = Array.from({ length: REQUESTS }, (_, index) => planRequest(index, random))
  const sent: Sent[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < plan.length) {
      const index = next++
      const planned = plan[index] as Planned
      const user = `${run}-${String(index + 1).padStart(2, '0')}`
      sent.push({ kind: planned.kind, user, status: await send(chatUrl, planned, user) })
      onProgress(sent.length)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENT }, work))
  return sent
}

const FAULTS = ['500', '429', 'die', '503', '400', 'error-event']

function planRequest(index: number, random: () => number): Planned {
  const vietnamese = index % 2 === 1
  const hint = vietnamese ? 'Xin chào, đơn hàng' : 'Hello, my order'
  const ask = (tokens: number) => `${hint} ${writeTokens(random, hint, tokens).join('')}`
  if (index % 10 === 3) {
    const fault = FAULTS[Math.floor(index / 10)] as string
    const stream = fault === 'die' || fault === 'error-event'
    return { kind: 'failing', stream, question: ask(30), headers: { 'x-sim-fault': fault } }
  }
  if (index % 10 === 6) {
    // Slow enough that the client is gone before the end.
    const headers = {
      'x-sim-ttft-ms': '60',
      'x-sim-tokens': '400',
      'x-sim-tokens-per-second': '100',
    }
    return { kind: 'aborted', stream: true, question: ask(30), headers }
  }
  if (index % 5 === 0) {
    // About 5 characters a token in English, 4 in Vietnamese.
    const question = ask(LONG_CHARS / 3).slice(0, LONG_CHARS)
    return { kind: 'long', stream: index % 2 === 0, question, headers: {} }
  }
  const stream = index % 3 !== 0
  return { kind: stream ? 'streamed' : 'answered', stream, question: ask(40), headers: {} }
}

async function send(chatUrl: string, planned: Planned, user: string): Promise<number> {
  const leave = new AbortController()
  const body = {
    messages: [
      { role: 'system', content: 'Answer in the language of the question.' },
      { role: 'user', content: planned.question },
    ],
    stream: planned.stream,
    temperature: 0.7,
    max_tokens: 400,
    user,
  }
  try {
    const response = await fetch(`${chatUrl}/api/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...planned.headers },
      body: JSON.stringify(body),
      signal: leave.signal,
    })
    let chunks = 0
    for await (const _ of response.body ?? []) {
      if (planned.kind === 'aborted' && ++chunks === 5) leave.abort()
    }
    return response.status
  } catch {
    // We left, or the upstream died in mid-stream: both are part of the plan.
    return 0
  }
}
