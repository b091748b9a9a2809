// A way between two programs over TCP that can be troubled: bytes go on as they come, until they do not.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../packages/relay/src/testing/redis-server.ts'

export type Trouble =
  /** Connections are reset, new ones too. */
  | 'cut'
  /** Connections stay, and nothing comes through. */
  | 'hang'
  /** What is asked arrives; as soon as an answer comes back the connection is reset. */
  | 'reset'
  /** The same, after half of the answer's first bytes. */
  | 'half'
  /** Little comes through at a time. */
  | 'slow'

export interface Way {
  /** Where it begins, on 127.0.0.1. */
  readonly port: number
  /** Answers that were cut off: who asked cannot know what became of it. */
  readonly lostAnswers: number
  /** Null: all is well. With `from` it begins when that text is asked, and what asks it arrives. */
  trouble(trouble: Trouble | null, from?: string): void
  /** New connections lead to another port. */
  lead(port: number): void
  close(): Promise<void>
}

const SLOW_BYTES = 2048
const SLOW_MS = 40

/** Opens a way to a port of 127.0.0.1. */
export async function openWay(to: number): Promise<Way> {
  let target = to
  let trouble: Trouble | null = null
  let coming: { readonly trouble: Trouble | null; readonly from: string } | null = null
  let lostAnswers = 0
  const sockets = new Set<Socket>()

  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.once('close', () => sockets.delete(socket))
    // The other end hears of it by the close.
    return socket.on('error', () => {})
  }

  const begin = (next: Trouble | null): void => {
    trouble = next
    coming = null
    if (next === 'cut') for (const socket of sockets) socket.resetAndDestroy()
  }

  /** The trouble is looked up at each piece: it may have come or gone while one waited. */
  const carry = async (from: Socket, into: Socket, isAnswer: boolean): Promise<void> => {
    try {
      const pieces: AsyncIterable<Buffer> = from.iterator({ destroyOnReturn: false })
      for await (const bytes of pieces) {
        if (!isAnswer && coming !== null && bytes.includes(coming.from)) {
          begin(coming.trouble)
        } else while (trouble === 'hang' && !into.destroyed) await delay(20)
        if (isAnswer && (trouble === 'reset' || trouble === 'half')) {
          lostAnswers++
          if (trouble === 'half') into.write(bytes.subarray(0, bytes.length >> 1))
          // What was written has to leave before the reset.
          await delay(5)
          into.resetAndDestroy()
          from.destroy()
          return
        }
        for (let at = 0; at < bytes.length; ) {
          const piece = trouble === 'slow' ? SLOW_BYTES : bytes.length
          if (!into.write(bytes.subarray(at, at + piece))) await once(into, 'drain')
          at += piece
          if (trouble === 'slow') await delay(SLOW_MS)
        }
      }
      into.end()
    } catch {
      into.destroy()
      from.destroy()
    }
  }

  // Who has said all may still be answered.
  const allowHalfOpen = true
  const server = createServer({ allowHalfOpen }, (near) => {
    keep(near)
    if (trouble === 'cut') {
      near.resetAndDestroy()
      return
    }
    const far = keep(connect({ port: target, host: '127.0.0.1', allowHalfOpen }))
    far.once('error', () => near.resetAndDestroy())
    near.once('close', () => far.destroy())
    void carry(near, far, false)
    void carry(far, near, true)
  })
  server.listen(await freePort(), '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get lostAnswers() {
      return lostAnswers
    },
    trouble(next, from) {
      if (from === undefined) begin(next)
      else coming = { trouble: next, from }
    },
    lead(port) {
      target = port
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
