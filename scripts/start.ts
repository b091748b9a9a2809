import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { checkTraces, countBefore } from './demo/check.ts'
import { freePort } from './demo/ports.ts'
import { runBuild, type Stoppable, startProcess } from './demo/processes.ts'
import { costOf, deliveryOf, kindsOf, pathWord } from './demo/report.ts'
import { REQUESTS, sendRequests } from './demo/requests.ts'
import { readUsage } from './demo/usage.ts'

const flags = readUsage()
const root = join(import.meta.dirname, '..')
const data = resolve(root, flags.data)
const bin = join(root, 'packages/relay/bin/offpath.js')
const config = join(data, 'offpath.yaml')
const places = {
  OFFPATH_SPOOL_DIR: join(data, 'spool'),
  OFFPATH_SPOOL_DISK_DIR: join(data, 'spool-disk'),
  OFFPATH_STORE_DIR: join(data, 'store'),
}
/** For the commands that are printed, and for a relay that goes on with the data. */
const CONFIG = `# Written by npm start.
spool: { dir: spool, disk-dir: spool-disk }
store: { dir: store }
`
const running: Stoppable[] = []
let stopping = false
/** All is shown, and nothing but Ctrl-C is left to come. */
let isUp = false

process.once('SIGINT', () => void stop(isUp ? 0 : 130))
process.once('SIGTERM', () => void stop(isUp ? 0 : 143))
// npm passes SIGTERM to the shell between it and us, which dies of it without a word.
const parent = process.ppid
if (process.env.npm_lifecycle_event !== undefined) {
  setInterval(() => process.ppid !== parent && void stop(143), 500).unref()
}

try {
  await start()
} catch (error) {
  if (!stopping) console.error(`\noffpath: ${(error as Error).message}`)
  await stop(1)
}

async function start(): Promise<void> {
  mkdirSync(data, { recursive: true })
  writeFileSync(config, CONFIG)
  progress('building')
  const build = runBuild(root)
  running.push(build)
  await build.done

  progress('starting the relay, the model and the chat API')
  const relayPort = await freePort(7411)
  const relay = await run('relay', [bin, 'up', '--json', '--log-level', 'warn'], {
    ...places,
    OFFPATH_HTTP_PORT: String(relayPort),
  })
  const vllm = process.env.VLLM_URL ?? (await startSimulator())
  const chat = await run('chat-api', [join(root, 'examples/chat-api/main.ts')], {
    ...places,
    OFFPATH_SERVICE: 'chat-api',
    PORT: String(await freePort(3000)),
    VLLM_URL: vllm,
  })

  const before = await countBefore(relay)
  const name = `run${Date.now().toString(36)}`
  const sent = await sendRequests(chat, name, flags.seed, (done) =>
    progress(`${done} of ${REQUESTS} requests`),
  )
  progress('waiting for the last traces')
  const { faults, traces, stats } = await checkTraces(relay, sent, before)
  progress('')

  console.log(`${REQUESTS} requests: ${kindsOf(sent)}`)
  show('ls', '--limit', String(REQUESTS))
  const example = sent.find(({ kind }) => kind === 'streamed') ?? sent[0]
  const trace = (example && traces.get(example)?.id.slice(0, 12)) ?? ''
  if (trace !== '') show('show', trace)
  console.log(`\n${costOf(stats)}`)
  for (const exporter of stats.exporters) {
    for (const line of deliveryOf(exporter, offpath('status'))) console.log(line)
  }
  console.log(`Data: ${pathWord(data)}`)
  for (const fault of faults) console.error(`not complete: ${fault}`)
  if (flags.once) {
    console.log(`
Next:     ${offpath('show', trace, '--full')}
          npm start   # the same, and it stays up: ask the chat API yourself, see its traces come in`)
    await stop(faults.length === 0 ? 0 : 1)
    return
  }
  console.log(`
relay     ${relay}
chat API  ${chat}
model     ${vllm}

Next:     curl -N ${chat}/api/chat/completions -H 'content-type: application/json' \\
            -d '{"messages":[{"role":"user","content":"Xin chào"}],"stream":true}'
          ${offpath('tail')}
          ${offpath('status')}
Ctrl-C ends everything; the data stays.`)
  isUp = true
}

async function startSimulator(): Promise<string> {
  const port = String(await freePort(8000))
  return run('vllm', [join(root, 'examples/vllm-simulator/main.ts'), '--port', port], {})
}

/** Starts one of our programs. @returns its URL */
function run(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const started = startProcess(name, args, env)
  running.push(started)
  return started.ready
}

/** A command as it can be typed in this folder. */
function offpath(...words: readonly string[]): string {
  return ['npx offpath', ...words, '--config', pathWord(config)].join(' ')
}

/** Runs a command of the CLI as a user would, and says which. */
function show(...words: readonly string[]): void {
  console.log(`\n$ ${offpath(...words)}`)
  execFileSync(process.execPath, [bin, ...words, '--config', pathWord(config)], {
    env: { ...process.env, ...places, npm_command: 'exec' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

/** One line that is written over, on a terminal; a line each elsewhere, without the counting. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}${text === '' ? '' : ' …'}`)
  else if (text !== '' && !/^\d/.test(text)) process.stderr.write(`${text} …\n`)
}

/** Stops the children, those that record first, and ends. */
async function stop(code: number): Promise<void> {
  if (stopping) return
  stopping = true
  for (const child of running.reverse()) await child.stop()
  process.exit(code)
}
