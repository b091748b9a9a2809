import { once } from 'node:events'
import { shownConfig } from '../config/config.ts'
import type { Config } from '../config/options.ts'
import { createLog } from '../log.ts'
import { type Relay, startRelay, VERSION } from '../relay.ts'
import type { Call, Run } from './call.ts'
import { bytes, duration } from './format.ts'
import { jsonLine, printable } from './text.ts'

export const run: Run = async (call) => {
  const { loaded, json, terminal } = call
  const { config, origins } = loaded
  const log = createLog((line) => process.stderr.write(line), config['log.level'])
  for (const [name, value] of Object.entries(shownConfig(config))) {
    log.debug('option', { [name]: Array.isArray(value) ? value.join(',') : String(value) })
  }
  if (!isLoopback(config['http.host']) && config['http.token'] === undefined) {
    log.warn('the API is open to the network and shows all traces: set http.token', {
      host: config['http.host'],
    })
  }
  const stopped = nextSignal()
  const relay = await startRelay(config, log)
  if (json) {
    const { url, exporters } = relay
    const ready = {
      ready: true,
      url,
      spool: config['spool.dir'],
      diskSpool: config['spool.disk-dir'],
      store: config['store.dir'],
      pid: process.pid,
      exporters: exporters.map(({ name }) => name),
    }
    terminal.print(jsonLine(ready))
  } else terminal.print(greeting(call, relay, origins.get('store.dir')?.startsWith('--') ?? false))
  log.info('ready', { url: relay.url, pid: process.pid })
  const signal = await stopped
  log.info('stopping', { signal })
  await relay.close()
  log.info('stopped')
  return 0
}

/** The first SIGINT or SIGTERM. A second one ends the process at once: nothing is lost by that. */
async function nextSignal(): Promise<string> {
  const name = await Promise.race(
    ['SIGINT', 'SIGTERM'].map((signal) => once(process, signal).then(() => signal)),
  )
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
  return name
}

function greeting({ terminal, loaded }: Call, relay: Relay, ownStore: boolean): string {
  const { config } = loaded
  const { exporters } = relay
  const keep = `${duration(config['retention.age'])}, ${bytes(config['retention.size'])}`
  const targets = exporters.map(({ name, url }) => `${name} ${url}`)
  if (targets.length === 0) {
    targets.push(
      'nowhere: traces are kept here (for Langfuse set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY)',
    )
  }
  const rows: [string, string][] = [
    ['reads', config['spool.dir']],
    ['', config['spool.disk-dir']],
    ['stores', `${config['store.dir']} (${keep})`],
    ...targets.map((target, i): [string, string] => [i === 0 ? 'delivers' : '', target]),
    ['API', relay.url],
  ]
  const lines = rows.map(
    ([title, text]) => `  ${terminal.style('dim', title.padEnd(9))} ${printable(text)}`,
  )
  const ls = ownStore ? `offpath ls${storeFlag(config)}` : 'offpath ls'
  return `${terminal.style('bold', `offpath ${VERSION} is up`)}
${lines.join('\n')}

Next: run an application that uses @offpath/sdk, then, in another terminal: ${terminal.style('cyan', ls)}
Ctrl-C ends it.
`
}

function storeFlag(config: Config): string {
  const dir = config['store.dir']
  return ` --store-dir ${/^[\w./~-]+$/.test(dir) ? dir : JSON.stringify(dir)}`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
