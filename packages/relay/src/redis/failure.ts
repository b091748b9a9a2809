import { type Failure, SendError } from '../export/http.ts'
import { shownText } from '../export/message.ts'

/** First words of Redis' answers by which it asks for later: full, starting, failing over, moving slots. */
const BUSY = [
  'OOM',
  'LOADING',
  'READONLY',
  'TRYAGAIN',
  'CLUSTERDOWN',
  'MASTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'BUSY',
]
/** What the client puts before the words of a server behind sentinels, or of a sentinel. */
const PREFIX =
  /^(?:obseve client error: (?:\w+: )?|(?:Master|Replica|Sentinel) Client \([^)]*\): )+/
const UNAUTHORIZED = ['NOAUTH', 'WRONGPASS', 'NOPERM']

/**
 * What can be done about an error of the client: as of HTTP. The status says what HTTP's would: 401, 503, or 0 without an
 * answer.
 */
export function failureOf(error: unknown, secrets: readonly string[]): SendError {
  if (error instanceof SendError) return error
  const text = shownText(textOf(error).replace(PREFIX, ''), secrets)
  const word = /^([A-Z]{2,})(?= |$)/.exec(text)?.[1]
  if (word === undefined) return new SendError('unreachable', text)
  if (word === 'MOVED' || word === 'ASK') {
    return new SendError(
      'refused',
      `${text}: this is a cluster, its redis.url is redis+cluster://…`,
    )
  }
  const [code, status] = judge(word, text)
  return new SendError(code, text, status)
}

function judge(word: string, text: string): [Failure, number] {
  if (UNAUTHORIZED.includes(word) || /^ERR (AUTH|invalid password)/.test(text)) {
    return ['refused', 401]
  }
  if (BUSY.includes(word) || /max number of clients/.test(text)) return ['busy', 503]
  return ['refused', 400]
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, name, code } = error as NodeJS.ErrnoException
  // A name with several addresses fails with an AggregateError, whose message is empty.
  if (message === '') return `failed with ${code ?? name}`
  // Of certificates the message alone says what is wrong in prose.
  return code === undefined || message.includes(code) ? message : `${message} (${code})`
}

/** Redis has no memory left: it takes away, and adds nothing. */
export function isFull(error: unknown): boolean {
  return error instanceof SendError && error.message.startsWith('OOM ')
}
