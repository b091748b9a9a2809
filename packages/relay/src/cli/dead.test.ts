// Dead letters and replay from the command line, with a relay and without: it, the server and what they keep are real.
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startLangfuseServer } from '../../../../test/langfuse-server/server.ts'
import type { LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { DeadLetterList, WholeDeadLetter } from '../http/shapes.ts'
import type { Stats } from '../http/stats.ts'
import type { Dropped, Retried } from '../operations/dead.ts'
import type { Replayed } from '../operations/replay.ts'
import { writeRelayFile } from '../relay-file.ts'
import { lockStore } from '../store/lock.ts'
import { crashAt } from '../testing/crash-at.ts'
import { writeSegment } from '../testing/plain-writer.ts'
import { deliveringTo, type Running, type Sandbox, sandbox } from './cli.fixture.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const NONE = { retried: 0, superseded: 0, notConfigured: 0, gone: 0, noRoom: 0, unknown: [] }

let langfuse: LangfuseServer
let box: Sandbox
let relay: Running | undefined
let url: string

beforeEach(() => start())
afterEach(async () => {
  await relay?.end('SIGTERM')
  relay = undefined
  await langfuse.close()
  box.remove()
})

async function start(): Promise<void> {
  langfuse = await startLangfuseServer()
  box = sandbox(deliveringTo(langfuse))
}

async function up(env: NodeJS.ProcessEnv = {}): Promise<void> {
  const before = { ...box.env }
  Object.assign(box.env, env)
  relay = box.start('up', '--json')
  for (const name of Object.keys(env)) delete box.env[name]
  Object.assign(box.env, before)
  url = JSON.parse(await relay.line()).url
}

async function down(): Promise<void> {
  await relay?.end('SIGTERM')
  relay = undefined
}

const image = randomBytes(300)
const observations = [1, 2, 3].map((index) => ({
  record: 'observation',
  trace_id: TRACE,
  span_id: `00000000000000b${index}`,
  name: `answer-${index}`,
  // Of now: what is stored is found by when it was.
  start_time: `${Date.now() - 5000}000000`,
  end_time: `${Date.now() - 1000 * index}000000`,
  input: index === 1 ? `data:image/png;base64,${image.toString('base64')}` : 'question',
}))
const score = {
  record: 'score',
  id: 'score-1',
  trace_id: TRACE,
  name: 'quality',
  value: 0.5,
  timestamp: `${Date.now()}000000`,
}

/** Three observations, one of them with an image, and a score, of a writer that has ended. */
function record(): void {
  const writer = randomBytes(8).toString('hex')
  const frames = [{ json: [...observations, score] }, { end: true as const }]
  const header = { service: 'chat-api' }
  writeSegment(box.env.OFFPATH_SPOOL_DIR as string, { writer, header, frames })
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await box.offpath(...args, '--json')
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as T
}

/** Of the one exporter, once the store holds nothing for it; throws when a law is broken. */
async function settled(
  isSo: (exporter: Stats['exporters'][number]) => boolean = () => true,
): Promise<Stats['exporters'][number]> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const [exporter] = ((await (await fetch(`${url}/api/stats`)).json()) as Stats).exporters
    const laws = [exporter!, exporter!.scores!, exporter!.media!]
    for (const { accepted, delivered, deadLettered, dropped, held } of laws) {
      const drops = Object.values(dropped).reduce((sum, count) => sum + count, 0)
      expect(accepted).toBe(delivered + deadLettered + drops + held)
    }
    const isAccepted = laws.every(({ accepted }) => accepted > 0)
    const isHeld = exporter!.waitingBytes > 0 || laws.some(({ held }) => held > 0)
    if (isAccepted && !isHeld && isSo(exporter!)) return exporter!
    if (Date.now() > deadline) throw new Error(`not settled: ${JSON.stringify(exporter)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Langfuse rejects one of each kind. */
function reject(): void {
  langfuse.rejectSpan = ({ name }) => (name === 'answer-2' ? 'bad name' : undefined)
  langfuse.scores.reject = () => 'no such config'
  langfuse.media.reject = () => 'too large'
}

function accept(): void {
  langfuse.rejectSpan = undefined
  langfuse.scores.reject = undefined
  langfuse.media.reject = undefined
}

describe('with a relay', () => {
  test('what was rejected is listed, shown and exported', async () => {
    reject()
    record()
    await up()
    await settled()
    const list = await json<DeadLetterList>('dead', 'ls')
    expect(list.total).toBe(3)
    const about = { exporter: 'langfuse', traceId: TRACE }
    const media = { id: 'media:1', what: 'media', name: 'input image/png' }
    const expected = [
      { id: 'span:1', what: 'span', name: 'answer-2', observationId: '00000000000000b2', ...about },
      { id: 'score:1', what: 'score', name: 'quality', observationId: null, ...about },
      { observationId: '00000000000000b1', ...media, ...about },
    ]
    const byKind = (letters: readonly { what: string }[]) =>
      ['span', 'score', 'media'].map((kind) => letters.find(({ what }) => what === kind))
    expect(byKind(list.deadLetters)).toMatchObject(expected)
    expect(list.deadLetters.find(({ what }) => what === 'span')?.reason).toContain('bad name')
    const { stdout } = await box.offpath('dead', 'ls', '--reason', 'bad name')
    expect(stdout).toMatch(
      /^ID +TIME +WHAT .*\nspan:1 .* span +langfuse +0af7651916cd +answer-2 +answered 400: .*bad name.*\n$/,
    )
    for (const command of ['ls', 'export', 'retry']) {
      const all = command === 'retry' ? ['--all'] : []
      expect(await box.offpath('dead', command, '--exporter', 'otlp', ...all)).toEqual({
        code: 1,
        stdout: '',
        stderr: 'offpath: the store knows no exporter otlp; there are langfuse\n',
      })
    }
    expect((await box.offpath('dead', 'ls', '-n', '1')).stdout).toMatch(/\n… and 2 older ones; /)

    const span = await json<WholeDeadLetter>('dead', 'show', 'span:1')
    expect(span).toMatchObject({
      observation: { name: 'answer-2', input: 'question' },
      score: null,
    })
    const answer = await fetch(`${url}/api/dead/span:1`)
    expect(await answer.json()).toEqual(span)
    const listed = await fetch(`${url}/api/dead?reason=bad+name&limit=5`)
    expect(await listed.json()).toMatchObject({ deadLetters: [{ id: 'span:1' }], total: 1 })
    expect((await fetch(`${url}/api/dead/span:9`)).status).toBe(404)
    expect((await fetch(`${url}/api/dead/span`)).status).toBe(400)
    const shown = await box.offpath('dead', 'show', 'span:1')
    expect(shown.stdout).toMatch(/^span:1\nrejected .*, by langfuse\nreason +answered 400/)
    expect(shown.stdout).toMatch(/\n\nanswer-2 +span .*\n +in +question\n/)
    expect((await box.offpath('dead', 'show', 'score:1')).stdout).toContain('\n  "value": 0.5')
    expect((await box.offpath('dead', 'show', 'media:1')).stdout).toMatch(
      /\nimage\/png, 300 B, in input, sha256 [0-9a-f]{64}\n$/,
    )
    const none = await box.offpath('dead', 'show', 'span:9')
    expect([none.code, none.stderr]).toEqual([
      1,
      'offpath: no dead letter span:9; `offpath dead ls` lists them\n',
    ])
    const lines = (await box.offpath('dead', 'export')).stdout.trimEnd().split('\n')
    const exported = lines.map((line) => JSON.parse(line) as WholeDeadLetter)
    expect(exported.map(({ id }) => id)).toEqual(['span:1', 'score:1', 'media:1'])
    expect(exported[0]).toEqual(span)
    expect(exported[1]).toMatchObject({ score: { id: 'score-1', value: 0.5 }, media: null })
    expect(exported[2]).toMatchObject({ media: { contentType: 'image/png', bytes: 300 } })
  })

  test('dead letters are sent again, come back when they are rejected again, and are dropped', async () => {
    reject()
    record()
    await up()
    await settled()
    expect(await json<Retried>('dead', 'retry', 'span:1')).toEqual({ ...NONE, retried: 1 })
    expect(await settled(({ notResent }) => notResent === 1)).toMatchObject({
      delivered: 2,
      deadLettered: 1,
      resent: 0,
    })
    accept()
    const retry = await box.offpath('dead', 'retry', '--all', '--exporter', 'langfuse')
    expect(retry).toEqual({ code: 0, stdout: '3 dead letters will be sent again\n', stderr: '' })
    expect(await settled(({ resent }) => resent === 1)).toMatchObject({
      delivered: 2,
      deadLettered: 1,
      notResent: 1,
      scores: { accepted: 2, delivered: 1, deadLettered: 1, retried: 1 },
      media: { accepted: 2, delivered: 1, deadLettered: 1, retried: 1 },
    })
    expect(langfuse.spans().map(({ name }) => name)).toContain('answer-2')
    expect(langfuse.scores.all()).toHaveLength(1)
    expect(langfuse.media.all()[0]?.content).toEqual(image)
    expect(await json('dead', 'ls')).toEqual({ deadLetters: [], total: 0 })

    langfuse.rejectSpan = () => 'no'
    record()
    await settled(({ deadLettered }) => deadLettered === 4)
    expect(await json<Dropped>('dead', 'drop', '--all')).toEqual({ dropped: 3, unknown: [] })
    expect(await settled()).toMatchObject({ deadLettered: 4, deadDropped: 3 })
    expect((await box.offpath('dead', 'ls')).stdout).toBe('No dead letters.\n')
    const again = await box.offpath('dead', 'drop', 'span:1', 'score:1')
    expect(again).toEqual({
      code: 1,
      stdout: '0 dead letters dropped\n',
      stderr: 'offpath: no dead letter span:1\noffpath: no dead letter score:1\n',
    })
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toContain('\noffpath_exporter_dead_dropped_total{exporter="langfuse"} 3\n')
    expect(metrics).toContain('\noffpath_exporter_scores_retried_total{exporter="langfuse"} 1\n')
  })

  test('a replay sends the same bytes, and media anew where they are missing', async () => {
    record()
    await up()
    await settled()
    const [first] = langfuse.requests
    const dry = await json<Replayed>('replay', '--from', '1h', '--dry-run')
    expect(dry).toMatchObject({ dryRun: true, exporters: [{ name: 'langfuse', observations: 3 }] })
    expect(await settled()).toMatchObject({ resent: 0 })
    expect((await box.offpath('replay', '--from', '1h', '--service', 'other')).stdout).toBe(
      '0 observations will be sent to langfuse again\n',
    )
    const { stdout } = await box.offpath('replay', '--from', '1h', '--service', 'chat-api')
    expect(stdout).toBe('3 observations will be sent to langfuse again\n')
    expect(await settled(({ resent }) => resent === 3)).toMatchObject({
      accepted: 3,
      delivered: 3,
      media: { accepted: 2, delivered: 2 },
    })
    expect(langfuse.duplicates).toEqual({ identical: 3, changed: 0 })
    expect(langfuse.requests.at(-1)!.body).toEqual(first!.body)
    // It is there: Langfuse is asked, and no more.
    expect(langfuse.media.all()[0]?.puts).toBe(1)

    // Two ended since then.
    const from = new Date(Number(observations[1]!.end_time.slice(0, -6))).toISOString()
    const some = await json<Replayed>('replay', '--from', from, '--exporter', 'langfuse')
    expect(some.exporters).toEqual([{ name: 'langfuse', observations: 2 }])
    await settled(({ resent }) => resent === 5)
    const wrong = await box.offpath('replay', '--from', '1h', '--exporter', 'otlp')
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      'offpath: no exporter otlp is configured; there are langfuse\n',
    ])
  })

  test.each(['send', 'acknowledge'] as const)(
    'a crash at %s leaves what is sent again to be sent again, and no first delivery',
    async (point) => {
      record()
      await up()
      await settled()
      await down()
      await up(crashAt(point))
      const crashing = relay!
      await json<Replayed>('replay', '--from', '1h')
      await crashing.end()
      expect(crashing.child.signalCode).toBe('SIGKILL')
      await up()
      expect(await settled(({ resent }) => resent === 3)).toMatchObject({
        accepted: 3,
        delivered: 3,
        deadLettered: 0,
        notResent: 0,
      })
      const times = point === 'send' ? 1 : 2
      expect(langfuse.duplicates).toEqual({ identical: 3 * times, changed: 0 })
    },
  )

  test('a relay that asks for a token is given it, or says so', async () => {
    box.env.OFFPATH_HTTP_TOKEN = 'hunter2'
    await up()
    expect(await json('dead', 'drop', '--all')).toEqual({ dropped: 0, unknown: [] })
    box.env.OFFPATH_HTTP_TOKEN = 'wrong'
    const { code, stderr } = await box.offpath('replay', '--from', '1h')
    expect([code, stderr]).toEqual([
      1,
      `offpath: the relay (pid ${relay!.child.pid}) at ${url} asks for another token (http.token)\n`,
    ])
  })
})

describe('without a relay', () => {
  test('what is to be sent again waits for the next one', async () => {
    reject()
    record()
    await up()
    await settled()
    await down()
    accept()
    const before = langfuse.requests.length
    expect((await box.offpath('dead', 'retry', '--all')).stdout).toBe(
      '3 dead letters will be sent again, once the relay is started\n',
    )
    const from = new Date(Number(observations[0]!.end_time.slice(0, -6))).toISOString()
    expect((await box.offpath('replay', '--from', from)).stdout).toBe(
      '1 observation will be sent to langfuse again, once the relay is started\n',
    )
    expect(langfuse.requests).toHaveLength(before)
    await up()
    expect(await settled(({ resent }) => resent === 2)).toMatchObject({
      accepted: 3,
      delivered: 2,
      deadLettered: 1,
      scores: { accepted: 2, delivered: 1, deadLettered: 1 },
    })
    expect(langfuse.media.all()[0]?.content).toEqual(image)
  })

  test('the file that a killed relay has left stands in no way, whatever has its pid now', async () => {
    reject()
    record()
    await up()
    await settled()
    await down()
    const dir = box.env.OFFPATH_STORE_DIR!
    writeRelayFile(dir, { pid: process.pid, url, startedAt: new Date().toISOString() })
    // One that does not answer and has the store still runs.
    const lock = lockStore(dir)
    const refused = await box.offpath('dead', 'drop', '--all')
    lock.release()
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toContain(`the relay (pid ${process.pid}) at ${url} does not answer: `)
    expect(await json<Dropped>('dead', 'drop', '--all')).toEqual({ dropped: 3, unknown: [] })
  })

  test('the exporters that were configured last stay so, whatever the command is given', async () => {
    record()
    await up()
    await settled()
    await down()
    const { LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY } = box.env
    delete box.env.LANGFUSE_PUBLIC_KEY
    delete box.env.LANGFUSE_SECRET_KEY
    expect(await json('replay', '--from', '1h', '--dry-run')).toMatchObject({
      exporters: [{ name: 'langfuse', observations: 3 }],
    })
    Object.assign(box.env, { LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY })
    await up()
    expect(await settled()).toMatchObject({ accepted: 3, delivered: 3, resent: 0 })
  })

  test.each<[string[], number, string]>([
    [['dead', 'retry', '--all'], 1, 'there is no store in '],
    [['dead', 'ls'], 1, 'there is no store in '],
    [['replay', '--from', '1h'], 1, 'there is no store in '],
    [['dead'], 2, 'dead: which one? There are dead ls, dead show, dead retry, dead drop, '],
    [['dead', 'retry'], 2, 'which dead letters? Their ids, or --all, with --exporter and --reason'],
    [['dead', 'drop', 'x'], 2, '"x" is no dead letter\'s id, such as span:12, score:7, media:9'],
    [['dead', 'drop', 'span:1', '--all'], 2, 'ids name dead letters one by one: --all, '],
    [['dead', 'show', 'span'], 2, '"span" is no dead letter\'s id, '],
    [['dead', 'show'], 2, '<id> is missing'],
    [['replay'], 2, '--from is missing: since when?'],
    [['replay', '--from', '5'], 2, '--from: "5" is not a duration such as 10m or an ISO time'],
  ])('%j is refused', async (args, expected, message) => {
    const { code, stdout, stderr } = await box.offpath(...args)
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr.startsWith(`offpath: ${message}`)).toBe(true)
  })
})
