// Scores from their writer to Langfuse: writers, relay and server are real, and the relay is killed.
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Running, type Sandbox, sandbox } from '../packages/relay/src/cli/cli.fixture.ts'
import type { Stats } from '../packages/relay/src/http/stats.ts'
import { crashAt } from '../packages/relay/src/testing/crash-at.ts'
import { type PlainFrame, writeSegment } from '../packages/relay/src/testing/plain-writer.ts'
import { startLangfuseServer } from './langfuse-server/server.ts'
import type { LangfuseServer } from './langfuse-server/types.ts'

const run = promisify(execFile)
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const TIME = '1790000000123456789'
const PYTHON = 'python3'
const hasPython =
  spawnSync(PYTHON, ['-c', 'import sys; sys.exit(sys.version_info < (3, 10))']).status === 0

let langfuse: LangfuseServer
let box: Sandbox
let relay: Running | undefined
beforeEach(async () => {
  langfuse = await startLangfuseServer({ projects: { 'pk-main': 'sk-main', 'pk-s': 'sk-s' } })
  box = sandbox({
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: 'pk-main',
    LANGFUSE_SECRET_KEY: 'sk-main',
    OFFPATH_LANGFUSE_PROJECTS: 'search=pk-s:sk-s',
    OFFPATH_OTLP_URL: langfuse.otlpUrl,
  })
})
afterEach(async () => {
  await relay?.end('SIGTERM')
  relay = undefined
  await langfuse.close()
  box.remove()
})

async function startRelay(env: NodeJS.ProcessEnv = {}): Promise<string> {
  Object.assign(box.env, env)
  relay = box.start('up', '--json')
  for (const name of Object.keys(env)) delete box.env[name]
  return JSON.parse(await relay.line()).url
}

const score = (index: number, over: object = {}): object => ({
  record: 'score',
  id: `score-${index}`,
  trace_id: TRACE,
  name: 'quality',
  value: index / 100,
  timestamp: TIME,
  ...over,
})
const observation = {
  record: 'observation',
  trace_id: TRACE,
  span_id: '00000000000000b1',
  name: 'answer',
  start_time: TIME,
  end_time: TIME,
}

/** A segment of a writer that has ended. */
function write(...frames: PlainFrame[]): void {
  writeSegment(box.env.OFFPATH_SPOOL_DIR as string, { frames: [...frames, { end: true }] })
}

const scoresOf = (stats: Stats, name = 'langfuse') =>
  stats.exporters.find((exporter) => exporter.name === name)?.scores ?? null

/** What the relay says once it holds no score; throws when the law is broken. */
async function settled(url: string, accepted: number): Promise<Stats> {
  for (;;) {
    const stats = (await (await fetch(`${url}/api/stats`)).json()) as Stats
    const scores = scoresOf(stats)!
    const dropped = Object.values(scores.dropped).reduce((sum, count) => sum + count, 0)
    expect(scores.accepted).toBe(scores.delivered + scores.deadLettered + dropped + scores.held)
    if (scores.accepted === accepted && scores.held === 0) return stats
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const ids = (project?: string): unknown[] => langfuse.scores.all(project).map(({ id }) => id)

test('scores reach Langfuse alone, by project, and one that is rejected is shown', async () => {
  langfuse.scores.reject = ({ id }) => (id === 'score-2' ? 'no such config' : undefined)
  write(
    { json: [observation, score(1), score(2), score(3)] },
    { json: [score(4, { project: 'search' })] },
  )
  const url = await startRelay()
  const stats = await settled(url, 4)
  expect(ids('pk-main')).toEqual(['score-1', 'score-3'])
  expect(ids('pk-s')).toEqual(['score-4'])
  expect(langfuse.scores.all('pk-main')[0]).toEqual({
    id: 'score-1',
    traceId: TRACE,
    name: 'quality',
    value: 0.01,
    timestamp: '2026-09-21T14:13:20.123456Z',
  })
  expect(scoresOf(stats)).toMatchObject({ delivered: 3, deadLettered: 1, dropped: {} })
  expect(scoresOf(stats, 'otlp')).toBe(null)
  expect(stats.deadScores).toMatchObject([
    { exporter: 'langfuse', id: 'score-2', traceId: TRACE, name: 'quality' },
  ])
  await langfuse.waitForSpans(2)
  while (((await (await fetch(`${url}/api/stats`)).json()) as Stats).exporters[0]!.held > 0);
  const { stdout, code } = await box.offpath('status')
  expect(code).toBe(0)
  expect(stdout).toMatch(/\n1 observation accepted, /)
  expect(stdout).toMatch(/\nlangfuse +ok +1 +1 +0 +0 +0 /)
  expect(stdout).toMatch(/\nSCORES +STATE .*\nlangfuse +ok +4 +3 +1 +0 +0 /)
  expect(stdout).toMatch(/ langfuse +0af7651916cd +score quality +answered 400: .*no such config/)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  for (const line of [
    'offpath_scores_accepted_total 4',
    'offpath_exporter_scores_accepted_total{exporter="langfuse"} 4',
    'offpath_exporter_scores_delivered_total{exporter="langfuse"} 3',
    'offpath_exporter_scores_dead_lettered_total{exporter="langfuse"} 1',
    'offpath_exporter_scores_held{exporter="langfuse"} 0',
    'offpath_exporter_scores_state{exporter="langfuse",state="ok"} 1',
    'offpath_exporter_accepted_total{exporter="langfuse"} 1',
    'offpath_exporter_accepted_total{exporter="otlp"} 1',
  ]) {
    expect(metrics).toContain(`${line}\n`)
  }
  expect(metrics).not.toMatch(/offpath_exporter_scores.*exporter="otlp"/)
})

test('wrong keys are told by status, and scores wait', async () => {
  langfuse.projects.set('pk-main', 'another')
  write({ json: [score(1)] })
  const url = await startRelay()
  await langfuse.waitFor(() => langfuse.scores.requests.length > 0)
  let status = await box.offpath('status')
  while (!status.stdout.includes('unauthorized')) status = await box.offpath('status')
  expect(status.code).toBe(1)
  expect(status.stdout).toMatch(/\nscores to langfuse: unauthorized since .*: answered 401/)
  const stats = (await (await fetch(`${url}/api/stats`)).json()) as Stats
  expect(scoresOf(stats)).toMatchObject({ accepted: 1, held: 1 })
})

test.each([
  ['commit', 1],
  ['unlink', 1],
  ['send', 1],
  ['acknowledge', 2],
] as const)(
  'a relay that is killed at "%s" delivers each score, %i times at most',
  async (point, times) => {
    const scores = Array.from({ length: 30 }, (_, index) => score(index))
    write({ json: scores.slice(0, 10) }, { json: scores.slice(10) })
    // It may die before it has said that it is ready.
    await startRelay(crashAt(point) as Record<string, string>).catch(() => {})
    expect(await relay!.end()).toBe(null)
    const url = await startRelay()
    const stats = await settled(url, 30)
    expect(scoresOf(stats)).toMatchObject({ delivered: 30 })
    expect(ids().sort()).toEqual(scores.map((one) => (one as { id: string }).id).sort())
    expect(langfuse.scores.received).toBe(30 * times)
    // With the same content: Langfuse replaces the first by the second.
    const [first, second] = langfuse.scores.requests
    if (times === 2) expect(second!.scores).toEqual(first!.scores)
  },
)

test('an older Langfuse, busy and down for a while, gets them one by one', async () => {
  langfuse.scores.arrays = false
  langfuse.scores.faults = [{ type: 'status', status: 429 }, { type: 'reset' }]
  write({ json: [score(1), score(2), score(3)] })
  const url = await startRelay()
  const stats = await settled(url, 3)
  expect(scoresOf(stats)).toMatchObject({ delivered: 3, deadLettered: 0 })
  expect(ids().sort()).toEqual(['score-1', 'score-2', 'score-3'])
  expect(langfuse.scores.requests.map(({ isArray }) => isArray)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})

test.skipIf(!hasPython)('the Python client’s scores are there when flush says so', async () => {
  await startRelay()
  const program = `
from offpath import get_client, observe
langfuse = get_client()
@observe()
def answer():
    langfuse.score_current_span(name="span", value=True, data_type="BOOLEAN", comment="tốt")
    langfuse.score_current_trace(name="trace", value="good", score_id="given")
    return langfuse.get_current_trace_id(), langfuse.get_current_observation_id()
print(*answer())
langfuse.create_score(name="session", value=3, session_id="s", metadata={"a": [1]})
print(langfuse.flush(until="delivered", timeout=20))
`
  const { stdout } = await run(PYTHON, ['-c', program], {
    env: {
      ...box.env,
      PYTHONPATH: join(import.meta.dirname, '../clients/python/src'),
      PYTHONDONTWRITEBYTECODE: '1',
      LANGFUSE_TRACING_ENVIRONMENT: 'ci',
    },
  })
  const [traceId, observationId, flushed] = stdout.trim().split(/\s+/)
  expect(flushed).toBe('True')
  const [span, trace, session] = langfuse.scores.all()
  const common = { id: expect.any(String), timestamp: expect.any(String), environment: 'ci' }
  expect(span).toEqual({
    ...common,
    traceId,
    observationId,
    name: 'span',
    value: 1,
    dataType: 'BOOLEAN',
    comment: 'tốt',
  })
  expect(trace).toEqual({ ...common, id: 'given', traceId, name: 'trace', value: 'good' })
  expect(session).toEqual({
    ...common,
    sessionId: 's',
    name: 'session',
    value: 3,
    metadata: { a: [1] },
  })
  expect(langfuse.spans('pk-main')).toHaveLength(1)
})
