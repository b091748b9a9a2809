/**
 * `npm start`: builds, starts the relay, a vLLM-compatible server and the chat API, sends it 60 requests, and shows
 * what was recorded. Stays up until Ctrl-C. With `--once` it ends by itself, with exit code 0 only if
 * every request's trace is complete and no observation is unaccounted for. `--data` names another folder than
 * ./.offpath.
 *
 * VLLM_URL names a real vLLM; LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY a Langfuse.
 */
import { execFileSync } from 'node:child_process'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { checkTraces, type Stats } from './demo/check.ts'
import { freePort } from './demo/ports.ts'
import { type Running, startProcess } from './demo/processes.ts'
import { KINDS, REQUESTS, type Sent, sendRequests } from './demo/requests.ts'

const { values: flags } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    data: { type: 'string', default: '.offpath' },
  },
})
const root = join(import.meta.dirname, '..')
const data = resolve(root, flags.data)
const bin = join(root, 'packages/relay/bin/offpath.js')
const places = {
  OFFPATH_SPOOL_DIR: join(data, 'spool'),
  OFFPATH_SPOOL_DISK_DIR: join(data, 'spool-disk'),
  OFFPATH_STORE_DIR: join(data, 'store'),
}
const running: Running[] = []
let stopping = false

process.once('SIGINT', () => void stop(0))
process.once('SIGTERM', () => void stop(0))

try {
  await start()
} catch (error) {
  console.error(`\noffpath: ${(error as Error).message}`)
  await stop(1)
}

async function start(): Promise<void> {
  progress('building')
  execFileSync('npm', ['run', '--silent', 'build'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })

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

  const name = `run${Date.now().toString(36)}`
  const sent = await sendRequests(chat.url, name, Number(flags.seed), (done) =>
    progress(`${done} of ${REQUESTS} requests`),
  )
  progress('waiting for the last traces')
  const { faults, traces, stats } = await checkTraces(relay.url, sent)
  progress('')

  console.log(`${REQUESTS} requests: ${summary(sent)}\n`)
  show(['ls', '--limit', '20'])
  const example = sent.find((request) => request.kind === 'streamed') ?? sent[0]
  const trace = example && traces.get(example)
  if (trace !== undefined) {
    console.log('')
    show(['show', trace.id])
  }
  console.log(`\n${costOf(stats)}`)
  for (const { name: exporter, delivered, held } of stats.exporters) {
    console.log(`Delivered to ${exporter}: ${delivered} observations, ${held} held.`)
  }
  console.log(`Data: ${relative(process.cwd(), data) || '.'}`)
  for (const fault of faults) console.error(`not complete: ${fault}`)
  if (flags.once) {
    await stop(faults.length === 0 ? 0 : 1)
    return
  }
  const set = `OFFPATH_STORE_DIR=${relative(process.cwd(), places.OFFPATH_STORE_DIR)}`
  console.log(`
relay     ${relay.url}
chat API  ${chat.url}
model     ${vllm}

Next:     curl -N ${chat.url}/api/chat/completions -H 'content-type: application/json' \\
            -d '{"messages":[{"role":"user","content":"Xin chào"}],"stream":true}'
          ${set} npx offpath tail
Ctrl-C ends everything; the data stays.`)
}

async function startSimulator(): Promise<string> {
  const port = String(await freePort(8000))
  const simulator = await run(
    'vllm',
    [join(root, 'examples/vllm-simulator/main.ts'), '--port', port],
    {},
  )
  return simulator.url
}

async function run(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Running> {
  const started = await startProcess(name, args, env)
  running.push(started)
  return started
}

/** Runs the CLI as a user would. */
function show(args: readonly string[]): void {
  execFileSync(process.execPath, [bin, ...args], {
    env: { ...process.env, ...places },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

function summary(sent: readonly Sent[]): string {
  const count = (wanted: string) => sent.filter(({ kind }) => kind === wanted).length
  return KINDS.map((kind) => `${count(kind)} ${kind}`).join(', ')
}

function costOf({ vitals }: Stats): string {
  const chat = vitals.find(({ service }) => service === 'chat-api')
  if (!chat?.microsecondsPerTrace) return 'What tracing cost the chat API is not known yet.'
  return `Tracing cost the chat API ${Math.round(chat.microsecondsPerTrace)} µs a request: the median of ${chat.seconds} seconds, by its own vitals, in a process
that had just started. \`npm run bench -- load\` measures a warm one, beside Langfuse's SDK.`
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
