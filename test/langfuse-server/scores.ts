/**
 * POST /api/public/scores as Langfuse takes it: one score as an object (200), or several as an array (202). One that is no
 * score turns the whole request into a 400; one that `reject` rejects is a 400 alone and a 207 among others, which are
 * taken. An older server (`arrays: false`) takes objects alone. A score replaces one of the same id.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Captures } from './captures.ts'
import { projectOf, readBody } from './request.ts'
import { type Answer, faultAnswer, misbehave, send } from './respond.ts'
import type { CapturedScoreRequest, LangfuseScores, LangfuseServerOptions, Score } from './types.ts'

export const SCORES_PATH = '/api/public/scores'
/** Next.js's limit for a body. */
const MAX_BODY_BYTES = 1024 * 1024
const DATA_TYPES = ['NUMERIC', 'BOOLEAN', 'CATEGORICAL', 'TEXT', 'CORRECTION']

export interface Scores {
  readonly live: LangfuseScores
  take(request: IncomingMessage, response: ServerResponse): Promise<void>
  clear(): void
}

export function createScores(
  options: LangfuseServerOptions,
  projects: () => ReadonlyMap<string, string>,
  captures: Pick<Captures, 'wake' | 'waitFor'>,
): Scores {
  const requests: CapturedScoreRequest[] = []
  const stored = new Map<string, { project: string; score: Score }>()

  const live: LangfuseScores = {
    requests,
    received: 0,
    arrays: options.scores?.arrays ?? true,
    reject: options.scores?.reject,
    faults: options.scores?.faults,
    all: (project) =>
      [...stored.values()]
        .filter((one) => project === undefined || one.project === project)
        .map(({ score }) => score),
    async waitFor(count, timeoutMs) {
      await captures.waitFor(() => stored.size >= count, timeoutMs)
      return live.all()
    },
  }

  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { faults } = live
    const number = requests.length + 1
    const fault = typeof faults === 'function' ? faults(number) : faults?.[number - 1]
    const body = await readBody(request, MAX_BODY_BYTES)
    if (body === undefined) return
    const captured: CapturedScoreRequest = {
      headers: request.headers,
      project: projectOf(request.headers.authorization, projects()),
      scores: [],
      isArray: false,
      bytes: body.length,
      answer: 200,
    }
    const reached = fault === undefined || fault.type === 'slow' || fault.accept === true
    const answer = judge(captured, body.bytes, reached)
    captured.answer = fault && fault.type !== 'slow' ? faultAnswer(fault) : answer.status
    requests.push(captured)
    captures.wake()
    if (fault) await misbehave(response, fault, answer)
    else send(response, answer)
  }

  /** What Langfuse would answer; stores what it takes if the request reaches it. */
  const judge = (
    captured: CapturedScoreRequest,
    body: Buffer | undefined,
    reached: boolean,
  ): Answer => {
    const say = (status: number, content: object): Answer => ({
      status,
      body: JSON.stringify(content),
    })
    if (body === undefined) return say(413, { message: 'Body exceeded 1mb limit' })
    const { project } = captured
    if (project === undefined) return say(401, { message: 'Invalid credentials' })
    let content: unknown
    try {
      content = JSON.parse(body.toString())
    } catch {
      return say(400, { message: 'Invalid JSON' })
    }
    captured.isArray = Array.isArray(content)
    captured.scores = (Array.isArray(content) ? content : [content]) as Score[]
    if (captured.isArray && !live.arrays) {
      const error = [{ code: 'invalid_type', expected: 'object', received: 'array', path: [] }]
      return say(400, { message: 'Invalid request data', error })
    }
    for (const score of captured.scores) {
      const fault = faultOf(score)
      if (fault !== undefined) return say(400, { message: 'Invalid request data', error: fault })
    }
    const errors: { message: string }[] = []
    for (const score of captured.scores) {
      const message = live.reject?.(score)
      if (message !== undefined) errors.push({ message })
      else if (reached) {
        live.received++
        stored.set(`${project} ${score.id}`, { project, score })
      }
    }
    const rejected = errors.length
    if (!captured.isArray) {
      return rejected > 0 ? say(400, errors[0]!) : say(200, { id: captured.scores[0]?.id })
    }
    return rejected > 0
      ? say(207, { accepted: captured.scores.length - rejected, rejected, errors })
      : say(202, { message: 'Accepted' })
  }

  return {
    live,
    take,
    clear() {
      requests.length = 0
      stored.clear()
      live.received = 0
    },
  }
}

/** What makes it no score. */
function faultOf(score: Score): string | undefined {
  const { id, name, value, dataType, timestamp, traceId, sessionId, datasetRunId } = score
  if (id !== undefined && typeof id !== 'string') return 'id: expected string'
  if (typeof name !== 'string') return 'name: expected string'
  if (typeof value !== 'number' && typeof value !== 'string') return 'value: invalid input'
  if (dataType !== undefined && !DATA_TYPES.includes(String(dataType))) return 'dataType: invalid'
  const isNumber = dataType === 'NUMERIC' || dataType === 'BOOLEAN'
  if (dataType !== undefined && isNumber !== (typeof value === 'number')) {
    return 'value: does not match the data type'
  }
  if (timestamp !== undefined && !/^\d{4}-.*T.*(Z|[+-]\d\d:\d\d)$/.test(String(timestamp))) {
    return 'timestamp: invalid datetime'
  }
  if (traceId === undefined && sessionId === undefined && datasetRunId === undefined) {
    return 'traceId, sessionId or datasetRunId is needed'
  }
  return undefined
}
