import type { Config } from '../../config/options.ts'
import type { Stats } from '../../http/stats.ts'
import { isLeased } from '../../receivers/spool/lease.ts'
import { exportersOf } from '../../relay.ts'
import { askRelay } from '../status.ts'
import { type Check, ok, warning, wrong } from './check.ts'

const NAME = 'relay'

/** Which relay has these directories, and whether it runs with this configuration. */
export async function checkRelay(config: Config): Promise<Check[]> {
  const names = ['store.dir', 'spool.dir', 'spool.disk-dir'] as const
  let taken: string[]
  try {
    taken = names.filter((name) => isLeased(config[name])).map((name) => config[name])
  } catch (error) {
    return [warning(NAME, `whether one runs cannot be told: ${(error as Error).message}`, null)]
  }
  if (taken.length === 0) return [ok(NAME, 'none runs')]
  const asked = await askRelay(config)
  if (typeof asked === 'object') return compare(asked, config)
  if (asked !== 'none') return [warning(NAME, asked, null)]
  const message = `another process has ${taken.join(' and ')}`
  return [wrong(NAME, message, 'stop it, or name other directories')]
}

function compare(stats: Stats, config: Config): Check[] {
  const { spool, exporters, relay } = stats
  const [memory, disk] = spool
  const theirs = exporters.flatMap(({ name, delivery }) => {
    return delivery === null ? [] : [`${name} ${delivery.url}`]
  })
  const ours = exportersOf(config).map(({ name, url }) => `${name} ${url.origin}${url.pathname}`)
  const pairs: [what: string, theirs: string, ours: string][] = [
    ['spool.dir', memory?.dir ?? '', config['spool.dir']],
    ['spool.disk-dir', disk?.dir ?? '', config['spool.disk-dir']],
    ['exporters', theirs.sort().join(', ') || 'none', ours.sort().join(', ') || 'none'],
  ]
  const others = pairs
    .filter(([, there, here]) => there !== here)
    .map(([what, there, here]) => {
      const message = `the relay that runs has other ${what}: ${there}, and here ${here}`
      return warning(NAME, message, 'start it anew with this configuration')
    })
  return [ok(NAME, `runs: pid ${relay?.pid}, ${relay?.url}`), ...others]
}
