// A real Redis behind a proxy that cuts, swallows and loses, for conformance.ts.
import { createConnection, createServer, type Socket } from 'node:net'
import { entriesOf } from '../receivers/redis/group.ts'
import { measureEntry, readEntry } from '../redis/entry.ts'
import { allocateChunk } from '../store/chunk.ts'
import { freePort, type RedisServer, targetOf } from '../testing/redis-server.ts'
import type { Arrival, Peer, Trouble } from './conformance.ts'
import { redisExporter } from './redis.ts'

const USER = 'exporter'
const PASSWORD = 'a-secret/with:special@signs'
const STREAM = 'conformance'

/** A peer on `redis`, of which it is the only user, behind `proxy`. */
export function redisPeer(redis: RedisServer, proxy: RedisProxy): Peer {
  const url = `redis://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${proxy.port}`
  const exporter = redisExporter({
    target: targetOf(url),
    stream: STREAM,
    partitions: 1,
    maxLength: 10_000,
    entryBytes: 20_000,
  })
  const password = (word: string) =>
    redis.ask('ACL', 'SETUSER', USER, 'on', 'resetpass', `>${word}`, '~*', '&*', '+@all')
  return {
    exporter,
    async arrived() {
      const entries = entriesOf(await redis.ask('XRANGE', `${STREAM}:{0}`, '-', '+'))
      return entries.map(({ bytes }) => arrivalOf(bytes as Buffer))
    },
    async trouble(what) {
      await redis.ask('CONFIG', 'SET', 'maxmemory', what === 'busy' ? '1' : '0')
      await password(what === 'refuses' ? 'another' : PASSWORD)
      proxy.trouble = what
    },
    async close() {
      await redis.ask('FLUSHALL')
    },
  }
}

function arrivalOf(body: Buffer): Arrival {
  const aligned = allocateChunk(body.length)
  body.copy(aligned)
  const spans = readEntry(aligned, measureEntry(aligned))
  return {
    body,
    spans: spans.map(({ spanId, name }) => ({ spanId: spanId.toString('hex'), name })),
  }
}

export interface RedisProxy {
  readonly port: number
  trouble: Trouble | null
  close(): Promise<void>
}

/** In front of a server on a port of this machine. */
export async function startProxy(to: number): Promise<RedisProxy> {
  const open = new Set<Socket>()
  let trouble: Trouble | null = null
  const cutAll = (): void => {
    for (const socket of open) socket.destroy()
  }

  const server = createServer((client) => {
    if (trouble === 'away') {
      client.destroy()
      return
    }
    const upstream = createConnection(to, '127.0.0.1')
    /** The command is on its way whose answer is to be lost. */
    let isLosing = false
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (bytes) => {
      if (trouble === 'silent') return
      if (trouble === 'loses' && bytes.includes('XADD')) {
        trouble = null
        isLosing = true
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (isLosing) client.destroy()
      else client.write(bytes)
    })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    get trouble() {
      return trouble
    },
    set trouble(what) {
      // Who was refused or swallowed in part can't go on where he was; who is to be refused has to ask again.
      const cuts = [what, trouble].some((one) => one === 'away' || one === 'silent')
      if (what === 'refuses' || (cuts && what !== 'silent')) cutAll()
      trouble = what
    },
    async close() {
      cutAll()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
