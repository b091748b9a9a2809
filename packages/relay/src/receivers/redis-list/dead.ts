import type { RedisConnection } from '../../redis/connection.ts'
import type { ListKeys } from '../../redis/lists.ts'

/** An element that is no record. */
export interface DeadElement {
  readonly element: Buffer
  readonly reason: string
}

/** Beyond them the oldest go. */
const KEPT = 1000
/** Of a larger element its beginning: it is for people, who push it again once it is mended. */
const KEPT_BYTES = 512 * 1024

/** @throws SendError */
export async function writeDeadElement(
  connection: RedisConnection,
  { list, dead }: ListKeys,
  { element, reason }: DeadElement,
): Promise<void> {
  const about = ['list', list, 'reason', reason, 'time', new Date().toISOString()]
  const size = ['bytes', String(element.length)]
  const isCut = element.length > KEPT_BYTES
  await connection.call(dead, [
    'XADD',
    dead,
    'MAXLEN',
    '~',
    String(KEPT),
    '*',
    ...about,
    ...size,
    ...(isCut ? ['cut', String(KEPT_BYTES)] : []),
    'element',
    element.subarray(0, KEPT_BYTES),
  ])
}
