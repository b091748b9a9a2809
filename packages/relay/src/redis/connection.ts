// A connection to Redis, to one server, to what its sentinels name, or to a cluster. Commands go as they are written,
// pipelined by the client, and answers come as they are (RESP 2, strings as bytes): no reply is that of one version alone.
// Without a connection commands fail at once: what waits, waits where it is bounded.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisTarget } from '../config/redis-url.ts'
import { SendError } from '../export/http.ts'
import { failureOf } from './failure.ts'

export type Argument = string | Buffer
export type Reply = Buffer | string | number | null | readonly Reply[]

export interface RedisConnection {
  /**
   * Sends a command about a key, by which a cluster's node is found. It may take as long as the server takes.
   *
   * @throws SendError: `unreachable` when it is not known whether the server got it, else what the server says
   */
  call(key: string, args: readonly Argument[]): Promise<Reply>
  close(): Promise<void>
}

export interface ConnectionOptions {
  readonly target: RedisTarget
  /** Read at each connection, before the URL's password. */
  readonly passwordFile?: string | undefined
  /** Certificates of the authorities that vouch for the server. */
  readonly tlsCa?: string | undefined
  /** A server that owes an answer for so long is given up, and connected to again. For tests. */
  readonly stallMs?: number
}

type Library = typeof import('@redis/client')

/** What the client's three kinds have alike. */
interface Opened {
  connect(): Promise<unknown>
  isReady(): boolean
  send(key: string, args: Argument[]): Promise<unknown>
  destroy(): unknown
}

interface Credentials {
  /** Read at each connection. */
  readonly password: () => string | undefined
  /** They are for sentinels too. */
  readonly identifies: boolean
}

/** What the client says of sentinels, and of the nodes of a cluster, when none of them helped. */
const NONE_LEFT = ['None of the sentinels are available', 'All the root nodes are unavailable']
const STALL_MS = 30_000
/** Between attempts to connect. */
const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 2_000
const CONNECT_TIMEOUT_MS = 5_000
/** Between connections to one that is no master, for its name may lead to it for a while. */
const DEMOTED_MS = 1_000

export function connectRedis(options: ConnectionOptions): RedisConnection {
  const { target, stallMs = STALL_MS } = options
  /** Never shown in a message; the one from a file is known once it is read. */
  const secrets = new Set([target.password].filter((text) => text !== undefined))
  /** When commands were sent that have no answer yet; the oldest first. */
  const unanswered = new Set<{ readonly at: number }>()
  // In a cluster the connection to a node gives up by itself, and others go on. A node that was never reached, which a command
  // waits for, may have been replaced: a new client finds out.
  const patienceMs = target.type === 'cluster' ? 4 * stallMs : stallMs
  let opened: Opened | null = null
  let connectedAt = 0
  let unreadySince: number | null = null
  let lastFailure: SendError | null = null
  let closed = false
  const hasPassword = target.password !== undefined || options.passwordFile !== undefined
  /** Sentinels are given the credentials when they ask: those that have none refuse them, as many do. */
  let identifies = false
  const firstTry = Promise.withResolvers<void>()

  const failed = (error: unknown): void => {
    const failure = failureOf(error, [...secrets])
    // Why each of them is not, it has told before.
    if (lastFailure === null || !NONE_LEFT.includes(failure.message)) lastFailure = failure
    firstTry.resolve()
  }

  const password = (): string | undefined => {
    if (options.passwordFile === undefined) return target.password
    const text = readFileSync(options.passwordFile, 'utf8').replace(/\r?\n$/, '')
    if (text !== '') secrets.add(text)
    return text
  }

  /** What the client says beside its answers, while it is the one. */
  const heard = (one: Opened | null, error: unknown): void => {
    if (opened !== one) return
    const asks = target.type === 'sentinel' && failureOf(error, []).message.startsWith('NOAUTH')
    if (!asks || identifies || !hasPassword) {
      failed(error)
      return
    }
    identifies = true
    replace()
  }

  /** Connects until it succeeds, or is replaced. */
  const connect = async (): Promise<void> => {
    for (let attempt = 0; !closed; attempt++) {
      let one: Opened | null = null
      try {
        const library = await import('@redis/client')
        if (closed) return
        const hears = (error: unknown): void => heard(one, error)
        one = open(library, options, { password, identifies }, hears)
        opened = one
        await one.connect()
        if (opened !== one) return
        connectedAt = performance.now()
        firstTry.resolve()
        return
      } catch (error) {
        void destroy(one)
        if (opened !== one) return
        failed(error)
        await delay(waitMs(attempt), undefined, { ref: false })
        if (opened !== one) return
      }
    }
  }

  const replace = (): void => {
    const given = opened
    opened = null
    unreadySince = null
    unanswered.clear()
    void destroy(given)
    void connect()
  }

  const reconnect = (why: unknown): void => {
    failed(why)
    replace()
  }

  /** It is the master no more, and keeps the connection: where its name leads to by now, it says at the next one. */
  const isDemoted = ({ message }: SendError): boolean =>
    target.type === 'single' &&
    /^(READONLY|MASTERDOWN) /.test(message) &&
    performance.now() - connectedAt > DEMOTED_MS

  /** TCP finds out that nobody is there after a quarter of an hour. */
  const watch = (): void => {
    const now = performance.now()
    if (opened?.isReady()) unreadySince = null
    else unreadySince ??= now
    const [oldest] = unanswered
    const stalled = oldest !== undefined && now - oldest.at > patienceMs
    const unready = opened !== null && unreadySince !== null && now - unreadySince > stallMs
    if (stalled || unready) reconnect(new Error(`no answer within ${stallMs} ms`))
  }
  const timer = setInterval(watch, stallMs / 6)
  timer.unref()
  void connect()

  const call = async (key: string, args: readonly Argument[]): Promise<Reply> => {
    await firstTry.promise
    if (closed) throw new SendError('unreachable', 'the connection is closed')
    const one = opened
    if (!one?.isReady()) {
      throw lastFailure ?? new SendError('unreachable', `not connected to ${target.shown}`)
    }
    const asked = { at: performance.now() }
    unanswered.add(asked)
    try {
      const reply = (await one.send(key, [...args])) as Reply
      lastFailure = null
      return reply
    } catch (error) {
      const failure = failureOf(error, [...secrets])
      if (isDemoted(failure) && one === opened) reconnect(failure)
      throw failure
    } finally {
      unanswered.delete(asked)
    }
  }

  const close = async (): Promise<void> => {
    closed = true
    firstTry.resolve()
    clearInterval(timer)
    const last = opened
    opened = null
    await destroy(last)
  }

  return { call, close }
}

async function destroy(opened: Opened | null): Promise<void> {
  try {
    await opened?.destroy()
  } catch {
    // It was not open.
  }
}

/** A uniform share of the doubling bound spreads the relays of a fleet when their Redis comes back. */
function waitMs(attempt: number): number {
  const bound = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt)
  return Math.round(bound * (0.5 + Math.random() / 2))
}

function open(
  { createClient, createCluster, createSentinel, RESP_TYPES }: Library,
  { target, tlsCa, stallMs = STALL_MS }: ConnectionOptions,
  { password, identifies }: Credentials,
  failed: (error: unknown) => void,
): Opened {
  const { type, tls, nodes, user, database, master } = target
  const reconnecting = { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: waitMs }
  const socket = tls
    ? {
        ...reconnecting,
        tls: true as const,
        ...(tlsCa !== undefined && { ca: readFileSync(tlsCa) }),
      }
    : reconnecting
  const credentialsProvider = {
    type: 'async-credentials-provider' as const,
    credentials: async () => {
      const word = password()
      return {
        ...(user !== undefined && { username: user }),
        ...(word !== undefined && { password: word }),
      }
    },
  }
  const common = { disableOfflineQueue: true, credentialsProvider }
  // No deadline of the client's own: those who ask have theirs.
  const commandOptions = { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }
  const RESP = 2 as const
  switch (type) {
    case 'single': {
      const client = createClient({
        ...common,
        RESP,
        commandOptions,
        database,
        socket: { ...socket, ...nodes[0]! },
      })
      client.on('error', failed)
      return {
        connect: () => client.connect(),
        isReady: () => client.isReady,
        send: (_, args) => client.sendCommand(args),
        destroy: () => client.destroy(),
      }
    }
    case 'sentinel': {
      const sentinel = createSentinel({
        RESP,
        commandOptions,
        name: master,
        sentinelRootNodes: [...nodes],
        nodeClientOptions: { ...common, socket },
        sentinelClientOptions: { socket, ...(identifies && { credentialsProvider }) },
        passthroughClientErrorEvents: true,
        // By itself it asks them for 16 s before a command fails: whoever sent it tries again.
        maxCommandRediscovers: 1,
      })
      sentinel.on('error', failed)
      return {
        connect: () => sentinel.connect(),
        isReady: () => sentinel.isReady,
        send: (_, args) => sentinel.sendCommand(false, args),
        destroy: () => sentinel.destroy(),
      }
    }
    case 'cluster': {
      const cluster = createCluster({
        RESP,
        commandOptions,
        // Asked one after the other for the others, so one that does not answer delays the first command by so long.
        rootNodes: nodes.map((node) => ({
          socket: { ...node, socketTimeout: Math.ceil(stallMs / 6) },
        })),
        // A node is connected to when something is asked of it: one that is down holds up no other.
        minimizeConnections: true,
        // Each connection is given up by itself when nothing came over it for so long, and asked before.
        defaults: {
          ...common,
          pingInterval: stallMs / 3,
          socket: { ...socket, socketTimeout: stallMs },
        },
      })
      cluster.on('error', failed)
      cluster.on('node-error', failed)
      return {
        connect: () => cluster.connect(),
        isReady: () => cluster.isReady,
        send: (key, args) => cluster.sendCommand(key, false, args),
        destroy: () => cluster.destroy(),
      }
    }
  }
}
