import type { Config } from '../config/options.ts'
import { STUCK } from '../export/lane.ts'
import { fullStats, type Stats, storeStats } from '../http/stats.ts'
import { isLeased } from '../receivers/spool/lease.ts'
import { readRelayFile } from '../relay-file.ts'
import type { Run } from './call.ts'
import { asksForToken, authorization, nameOf, reasonOf } from './relay-client.ts'
import { renderStatus } from './show-status.ts'
import { openStore } from './store.ts'
import { jsonLine } from './text.ts'

const TIMEOUT_MS = 3000

export const run: Run = async ({ json, loaded: { config }, terminal }) => {
  const asked = config['redis.receive'] ? await askPool(config) : await askRelay(config)
  let stats: Stats
  if (typeof asked === 'object') stats = asked
  else if (config['redis.receive']) {
    terminal.complain(`offpath: ${asked}`)
    return 1
  } else {
    if (asked !== 'none') terminal.complain(`offpath: ${asked}; this is read from the store`)
    const reader = openStore(config)
    stats = fullStats(storeStats(reader), config, null)
    reader.close()
  }
  const runs = asked !== 'none'
  terminal.print(json ? jsonLine(stats) : renderStatus(stats, terminal, runs))
  return isWell(stats) ? 0 : 1
}

/** Whether nothing waits for somebody to act. What was lost or rejected before is told, and stays so for ever. */
function isWell({ relay, exporters, redisList }: Stats): boolean {
  if (relay === null || relay.storeFull || redisList?.state === 'refused') return false
  return exporters
    .flatMap(({ delivery, scores, media }) => [delivery, scores?.delivery, media?.delivery])
    .every((delivery) => !STUCK.includes(delivery?.state ?? 'ok'))
}

/** What the relay of a pool says: it has no store by which it would be found. Else why it could not be asked. */
export async function askPool(config: Config): Promise<Stats | string> {
  const host = config['http.host']
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${config['http.port']}`
  const token = config['http.token']
  try {
    const answer = await ask(url, token)
    if (answer.ok) return (await answer.json()) as Stats
    return `the relay at ${url} answers ${answer.status} (http.token?)`
  } catch (error) {
    return `no relay of the pool answers at ${url} (http.host, http.port): ${reasonOf(error)}`
  }
}

function ask(url: string, token: string | undefined): Promise<Response> {
  return fetch(`${url}/api/stats`, {
    headers: authorization(token),
    signal: AbortSignal.timeout(TIMEOUT_MS),
    redirect: 'error',
  })
}

/** What the relay of our store says; `none`: there is none; else why it could not be asked. */
export async function askRelay(config: Config): Promise<Stats | 'none' | string> {
  const file = readRelayFile(config['store.dir'])
  if (file === null) return 'none'
  // Its port may be another program's by now, which is not to be given the token. The lock is a relay's, and goes with it.
  if (!isLeased(config['store.dir'])) return 'none'
  const token = config['http.token']
  try {
    const answer = await ask(file.url, token)
    if (answer.status === 401) return asksForToken(file, token)
    const stats = (await answer.json()) as Stats
    // It may be the file of the relay before.
    if (stats.relay?.pid === file.pid && stats.store?.dir === config['store.dir']) return stats
    return 'none'
  } catch (error) {
    if (!isLeased(config['store.dir'])) return 'none'
    return `${nameOf(file)} does not answer: ${reasonOf(error)}`
  }
}
