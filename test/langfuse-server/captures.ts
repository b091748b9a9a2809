import type { CapturedRequest, CapturedSpan, LangfuseServer, LangfuseServerStats } from './types.ts'

export type Captures = Pick<
  LangfuseServer,
  'requests' | 'received' | 'duplicates' | 'spans' | 'waitForSpans' | 'waitFor' | 'stats' | 'clear'
> & {
  /** Call once per request, when it is known what becomes of it. */
  add(request: CapturedRequest): void
  /** Lets those who wait look again. */
  wake(): void
}

/** Keeps what arrived, deduplicates spans as Langfuse does, and wakes those who wait. */
export function createCaptures(): Captures {
  const requests: CapturedRequest[] = []
  const stored = new Map<string, CapturedSpan>()
  const duplicates = { identical: 0, changed: 0 }
  const wake = new Set<() => void>()
  let received = 0

  const waitFor = (condition: () => boolean, timeoutMs = 10_000): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!condition()) return
        clearTimeout(timer)
        wake.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        wake.delete(look)
        reject(
          new Error(
            `not within ${timeoutMs} ms; ${requests.length} requests (${answers(requests)}), ` +
              `${received} spans received, ${stored.size} stored`,
          ),
        )
      }, timeoutMs)
      wake.add(look)
      look()
    })

  const wakeAll = (): void => {
    for (const look of [...wake]) look()
  }

  const spans = (project?: string): CapturedSpan[] =>
    [...stored.values()].filter((span) => project === undefined || span.project === project)

  return {
    requests,
    duplicates,
    get received() {
      return received
    },
    add(request) {
      requests.push(request)
      if (request.accepted) {
        received += request.spanCount
        for (const span of request.spans) {
          const key = `${span.project} ${span.traceId} ${span.spanId} ${span.startTimeUnixNano}`
          const known = stored.get(key)
          if (known) duplicates[sameContent(known, span) ? 'identical' : 'changed']++
          stored.set(key, span)
        }
      }
      wakeAll()
    },
    wake: wakeAll,
    spans,
    waitFor,
    async waitForSpans(count, timeoutMs) {
      await waitFor(() => stored.size >= count, timeoutMs)
      return spans()
    },
    stats(): LangfuseServerStats {
      const sum = (of: (request: CapturedRequest) => number): number =>
        requests.reduce((total, request) => total + of(request), 0)
      const counted: Record<string, number> = {}
      for (const { answer } of requests) counted[answer] = (counted[answer] ?? 0) + 1
      return {
        requests: requests.length,
        accepted: sum((request) => (request.accepted ? 1 : 0)),
        answers: counted,
        received,
        traces: new Set([...stored.values()].map(({ traceId }) => traceId)).size,
        stored: received - duplicates.identical - duplicates.changed,
        duplicates: { ...duplicates },
        encodedBytes: sum((request) => request.encodedBytes),
        decodedBytes: sum((request) => request.decodedBytes),
      }
    },
    clear() {
      requests.length = 0
      stored.clear()
      Object.assign(duplicates, { identical: 0, changed: 0 })
      received = 0
    },
  }
}

function answers(requests: CapturedRequest[]): string {
  return requests.map((request) => request.answer).join(', ')
}

function sameContent(a: CapturedSpan, b: CapturedSpan): boolean {
  return canonical(a) === canonical(b)
}

/** The same text for the same content, whichever request brought it. */
export function canonical(span: CapturedSpan): string {
  return JSON.stringify({ ...span, request: 0 }, (_key, value: unknown) => {
    if (typeof value === 'bigint') return `int:${value}`
    if (typeof value === 'number') return `number:${value}`
    if (value instanceof Uint8Array) return `bytes:${Buffer.from(value).toString('hex')}`
    return value
  })
}
