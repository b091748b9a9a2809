/** Where Redis is, and as whom to ask it. */
export interface RedisTarget {
  readonly type: 'single' | 'sentinel' | 'cluster'
  readonly tls: boolean
  /** Of a cluster and of sentinels: some of them, the others are found. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: number
  /** What the sentinels call the server; '' without sentinels. */
  readonly master: string
  /** The URL without user and password. */
  readonly shown: string
}

const URL_FORM =
  /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^/?#]*))?$/
const NODE_FORM = /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i
const PORT = 6379
const SENTINEL_PORT = 26_379

/**
 * `redis://user:password@host:6379/0`, `redis+sentinel://host1,host2/name-of-the-master`, `redis+cluster://host1,host2`;
 * `rediss` for TLS. What is special in user and password is percent-encoded.
 *
 * @returns undefined when it is no such URL
 */
export function parseRedisUrl(text: string): RedisTarget | undefined {
  const match = URL_FORM.exec(text.trim())
  if (match === null) return undefined
  const [, s, form, account = '', hosts = '', path = ''] = match
  const type = form === 'sentinel' || form === 'cluster' ? form : 'single'
  const nodes = hosts
    .split(',')
    .map((host) => nodeOf(host, type === 'sentinel' ? SENTINEL_PORT : PORT))
  const at = account.indexOf(':')
  const user = decoded(at < 0 ? account : account.slice(0, at))
  const password = decoded(at < 0 ? '' : account.slice(at + 1))
  const database = type === 'sentinel' ? 0 : databaseOf(path)
  if (user === null || password === null || database === undefined) return undefined
  if (!nodes.every((node) => node !== undefined)) return undefined
  if (type === 'single' && nodes.length > 1) return undefined
  // A cluster has one database; sentinels are asked for a name.
  if (type === 'cluster' && database !== 0) return undefined
  if (type === 'sentinel' && path === '') return undefined
  return {
    type,
    tls: s === 's',
    nodes,
    user: user || undefined,
    password: password || undefined,
    database,
    master: type === 'sentinel' ? path : '',
    shown: text.trim().replace(/\/\/[^@/]*@/, '//'),
  }
}

function nodeOf(text: string, otherwise: number): RedisTarget['nodes'][number] | undefined {
  const match = NODE_FORM.exec(text.trim())
  if (match === null) return undefined
  const port = match[2] === undefined ? otherwise : Number(match[2])
  if (port < 1 || port > 65_535) return undefined
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}

function databaseOf(path: string): number | undefined {
  if (path === '') return 0
  return /^\d{1,4}$/.test(path) ? Number(path) : undefined
}

/** Null: what stands behind a % is no code. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
