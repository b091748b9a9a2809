import { shownConfig } from '../config/config.ts'
import type { Config } from '../config/options.ts'
import { isLoopback, OPEN_TO_ALL } from '../http/server.ts'
import { createLog } from '../log.ts'
import { startPool } from '../pool.ts'
import { openRelay, type Relay, VERSION } from '../relay.ts'
import type { Call, Run } from './call.ts'
import { bytes, duration } from './format.ts'
import { commandLine, nextSignal } from './npm.ts'
import { onceTimeout, runOnce } from './once.ts'
import { jsonLine, printable } from './text.ts'

export const run: Run = async (call) => {
  const { loaded, flags, json, terminal } = call
  const { config } = loaded
  const timeoutMs = onceTimeout(flags, config)
  const log = createLog((line) => process.stderr.write(line), config['log.level'])
  for (const [name, value] of Object.entries(shownConfig(config))) {
    log.debug('option', { [name]: Array.isArray(value) ? value.join(',') : String(value) })
  }
  if (!isLoopback(config['http.host']) && config['http.token'] === undefined) {
    log.warn(`the API is ${OPEN_TO_ALL}; set http.token`, {
      host: config['http.host'],
    })
  }
  const stopped = toldToEnd(flags.has('until-stdin-closes'))
  const receives = config['redis.receive']
  if (timeoutMs !== undefined) return runOnce(call, log, timeoutMs, stopped)
  const relay = await (receives ? startPool : openRelay)(config, log)
  if (json) {
    const { url, exporters } = relay
    const ready = {
      ready: true,
      url,
      ...(receives
        ? { redis: config['redis.url']?.shown }
        : {
            spool: config['spool.dir'],
            diskSpool: config['spool.disk-dir'],
            store: config['store.dir'],
          }),
      pid: process.pid,
      exporters: exporters.map(({ name }) => name),
    }
    terminal.print(jsonLine(ready))
  } else terminal.print(greeting(call, relay))
  log.info('ready', { url: relay.url, pid: process.pid })
  const signal = await stopped
  log.info('stopping', { signal })
  try {
    const drain = config['export.drain']
    if (drain !== undefined && !(await relay.drain(drain))) {
      log.warn('not all is delivered: the rest goes out at the next start')
    }
  } finally {
    await relay.close()
  }
  log.info('stopped')
  return 0
}

/** Until we are told to end. A second signal ends the process at once: nothing is lost by that. */
function toldToEnd(withStdin: boolean): Promise<string> {
  const signalled = nextSignal().then((name) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
    return name
  })
  return withStdin ? Promise.race([signalled, stdinClosed()]) : signalled
}

async function stdinClosed(): Promise<string> {
  const { stdin } = process
  // It alone keeps no process running.
  if ('unref' in stdin) stdin.unref()
  // Whoever starts us may be killed in the middle of a write: how it closed does not matter.
  await new Promise((resolve) => stdin.once('close', resolve).once('error', resolve).resume())
  return 'stdin'
}

function greeting(call: Call, relay: Relay): string {
  const { terminal, loaded } = call
  const { config } = loaded
  const { exporters } = relay
  const targets = exporters.map(({ name, url }) => `${name} ${url}`)
  if (targets.length === 0) {
    targets.push(
      'nowhere: traces are kept here (for Langfuse set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY)',
    )
  }
  const rows: [string, string][] = [
    ...sourceRows(config),
    ...targets.map((target, i): [string, string] => [i === 0 ? 'delivers' : '', target]),
    ['API', relay.url],
    ...(config['otlp.receive'] ? [['OTLP in', `${relay.url}/v1/traces`] as [string, string]] : []),
  ]
  const lines = rows.map(
    ([title, text]) => `  ${terminal.style('dim', title.padEnd(9))} ${printable(text)}`,
  )
  const ls = terminal.style('cyan', commandLine(call, 'ls'))
  const next = config['redis.receive']
    ? ''
    : `Next: run an application that records, then, in another terminal: ${ls}\n`
  return `${terminal.style('bold', `offpath ${VERSION} is up`)}
${lines.join('\n')}

${next}Ctrl-C ends it.
`
}

function sourceRows(config: Config): [string, string][] {
  if (config['redis.receive']) {
    return [['reads', `${config['redis.url']?.shown}, streams ${config['redis.stream']}:{…}`]]
  }
  const keep = `${duration(config['retention.age'])}, ${bytes(config['retention.size'])}`
  return [
    ['reads', config['spool.dir']],
    ['', config['spool.disk-dir']],
    ...listRow(config),
    ['stores', `${config['store.dir']} (${keep})`],
  ]
}

function listRow(config: Config): [string, string][] {
  const list = config['redis.list']
  return list === undefined ? [] : [['', `${config['redis.url']?.shown}, list ${list}`]]
}
