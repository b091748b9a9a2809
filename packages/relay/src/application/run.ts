// A relay's life under an application: `offpath up`, with messages in the place of a terminal.
import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { isServedByAnother } from '../another-relay.ts'
import { type LoadedConfig, loadConfig } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { createLog, type Log } from '../log.ts'
import { quietSqliteWarning } from '../quiet-sqlite.ts'
import type { SpoolRelay } from '../relay.ts'
import type { Application, End } from './protocol.ts'

/**
 * How long a relay goes on whose application died: nobody waits for it, and a new one of the application is served
 * meanwhile.
 */
const ALONE_MS = 60_000

/** @returns the exit code, as `offpath` has them: 0 ended, 1 failed, 2 wrong configuration, 3 another relay reads the spool */
export async function run(application: Application): Promise<number> {
  quietSqliteWarning()
  let loaded: LoadedConfig
  try {
    const { cwd } = application.start
    loaded = loadConfig({ flags: new Map(), env: process.env, cwd })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    application.send({ type: 'refused', words: error.problems.join('; ') })
    return 2
  }
  if (loaded.config['redis.receive']) {
    const words = 'redis.receive: a relay of a pool reads no spool; run it by itself, `offpath up`'
    application.send({ type: 'refused', words })
    return 2
  }
  let isDeaf = false
  const log = logOf(application, loaded, () => isDeaf)
  for (const warning of loaded.warnings) log.warn(warning)
  let relay: SpoolRelay | undefined
  const told = Promise.race([
    new Promise<End | null>((resolve) => {
      application.listen((message) => {
        if (message?.type === 'hurry') {
          relay?.hurry()
          return
        }
        isDeaf = message?.isDeaf ?? false
        resolve(message)
      })
    }),
    signalled(application.start.drainMs),
  ])
  try {
    relay = await start(loaded, log)
  } catch (error) {
    const { code, message, stack, syscall } = error as NodeJS.ErrnoException
    const isTaken = await isServedByAnother(error, loaded.config['spool.dir'])
    const isTold = code?.startsWith('OFFPATH_') || syscall !== undefined
    let words = isTold ? message : (stack ?? message)
    if (code === 'OFFPATH_SPOOL_LOCKED' && !isTaken) words += ': name another spool.disk-dir'
    application.send({ type: isTaken ? 'taken' : 'failed', words })
    return isTaken ? 3 : 1
  }
  const { url } = relay
  application.send({ type: 'ready', url, spool: loaded.config['spool.dir'] })
  log.info('ready', { url, pid: process.pid })
  const { drainMs } = application.start
  const end = await told
  let delivered = false
  try {
    const longest = end?.drainMs ?? (drainMs === 0 ? 0 : Math.max(drainMs, ALONE_MS))
    log.info('stopping', { why: end === null ? 'the application ended' : 'told to end' })
    if (longest > 0) delivered = await relay.drain(longest)
    if (!delivered && longest > 0) {
      log.warn('not all is delivered: the rest goes out at the next start')
    }
  } finally {
    await relay.close()
  }
  application.send({ type: 'ended', delivered })
  return 0
}

async function start({ config, origins }: LoadedConfig, log: Log): Promise<SpoolRelay> {
  const { openRelay } = await import('../relay.ts')
  try {
    return await openRelay(config, log)
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'OFFPATH_PORT_TAKEN'
    if (!isTaken || origins.has('http.port')) throw error
    // Nobody asked for this port, and commands find the relay by its store.
    return openRelay(config, log, 0)
  }
}

/** Lines to the application; where it takes none, and once it is gone those of interest, to stderr. */
function logOf(
  { send, isGone, start: { logs } }: Application,
  loaded: LoadedConfig,
  isDeaf: () => boolean,
): Log {
  const { config, origins } = loaded
  const level = logs || origins.has('log.level') ? config['log.level'] : 'warn'
  return createLog((text) => {
    const line = text.trimEnd()
    const [, severity = 'warn', rest = line] = /^\S+ (debug|info|warn|error) +(.*)/.exec(line) ?? []
    if (logs && !isGone() && !isDeaf()) {
      send({ type: 'log', level: severity as 'warn', line: rest })
    } else if (!logs || (severity !== 'info' && severity !== 'debug')) {
      const toStderr = isDeaf() ? writeToStderr : process.stderr.write.bind(process.stderr)
      toStderr(`[offpath] ${text}`)
    }
  }, level)
}

/** That of a thread goes through the application's event loop. */
function writeToStderr(text: string): void {
  try {
    writeSync(2, text)
  } catch {
    // It is closed, or its reader does not follow.
  }
}

/** In a child: what ends a whole group of processes (systemd) is meant for the relay too. A second one ends it at once. */
function signalled(drainMs: number): Promise<Pick<End, 'drainMs'>> {
  if (!isMainThread) return new Promise(() => {})
  let isTold = false
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (isTold) process.exit(130)
        isTold = true
        resolve({ drainMs })
      })
    }
  })
}
