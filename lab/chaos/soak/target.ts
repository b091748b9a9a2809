import { hash } from 'node:crypto'
import { canonical } from '../../../test/langfuse-server/captures.ts'
import { startLangfuseServer } from '../../../test/langfuse-server/server.ts'
import type { CapturedSpan, LangfuseServer } from '../../../test/langfuse-server/types.ts'
import { isPoison, placeOf } from './names.ts'

/** Where all relays of a soak deliver: a server that plays Langfuse, of which only names are kept. */
export interface Target {
  readonly server: LangfuseServer
  /** How often each observation arrived, by its name. */
  readonly received: ReadonlyMap<string, number>
  /** Observations that arrived again with any other content. */
  readonly changed: number
  /** Requests that were taken without an answer that says so. */
  readonly lostAnswers: number
  close(): Promise<void>
}

const HARVEST_MS = 200
/** As many as a number holds: a run of hours has millions of them. */
const HASH_BYTES = 6

export async function startTarget(keys: Readonly<Record<string, string>>): Promise<Target> {
  const server = await startLangfuseServer({
    projects: { ...keys },
    rejectSpan: ({ name }) => (isPoison(placeOf(name)?.n ?? 1) ? 'poison' : undefined),
  })
  const received = new Map<string, number>()
  const contents = new Map<string, number>()
  let changed = 0
  let lostAnswers = 0

  const take = (span: CapturedSpan): void => {
    const { name } = span
    const content = hash('sha1', canonical(span), 'buffer').readUIntBE(0, HASH_BYTES)
    if (received.has(name) && contents.get(name) !== content) changed++
    received.set(name, (received.get(name) ?? 0) + 1)
    contents.set(name, content)
  }
  // The server keeps whole requests, which a run of hours would not survive.
  const harvest = (): void => {
    for (const { accepted, answer, spans } of server.requests) {
      if (!accepted) continue
      if (answer !== 200) lostAnswers++
      for (const span of spans) take(span)
    }
    server.clear()
  }
  const timer = setInterval(harvest, HARVEST_MS)
  return {
    server,
    received,
    get changed() {
      return changed
    },
    get lostAnswers() {
      harvest()
      return lostAnswers
    },
    async close() {
      clearInterval(timer)
      await server.close()
      harvest()
    },
  }
}
