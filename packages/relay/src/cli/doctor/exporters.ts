// Each exporter over HTTP is asked with its keys whether it would take traces: by a request without any. A body of no bytes is an
// ExportTraceServiceRequest of no spans, in Protobuf.
import type { Config } from '../../config/options.ts'
import { configuredExporters } from '../../configured-exporters.ts'
import type { HttpExporter } from '../../export/exporters.ts'
import { type Answer, type Client, openClient, SendError } from '../../export/http.ts'
import { adviceFor, type Options } from './advice.ts'
import { type Check, ok, warning, wrong } from './check.ts'
import { checkRedis } from './redis.ts'

const TIMEOUT_MS = 5000
const NO_SPANS = Buffer.alloc(0)
const never = new AbortController().signal

export async function checkExporters(config: Config): Promise<Check[]> {
  const exporters = configuredExporters(config)
  const isNone = exporters.length === 0 && !config['redis.forward']
  const fix = 'set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or OFFPATH_OTLP_URL'
  const none = warning('exporters', 'none is configured: traces stay in the store', fix)
  const checks = await Promise.all([
    checkRedis(config),
    ...exporters.map((exporter) => checkExporter(exporter, config)),
  ])
  return isNone ? [none, ...checks.flat()] : checks.flat()
}

async function checkExporter(exporter: HttpExporter, config: Config): Promise<Check[]> {
  const client = openClient({
    timeoutMs: TIMEOUT_MS,
    secrets: exporter.secrets,
    now: Date.now,
    onAttempt: () => {},
  })
  try {
    if (exporter.name !== 'langfuse') return [await checkOtlp(exporter, client)]
    const lanes = ['', ...Object.keys(config['langfuse.projects'])]
    const withKeys = lanes.filter((lane) => exporter.headersOf(lane) !== null)
    return await Promise.all(withKeys.map((lane) => checkLangfuse(exporter, client, lane)))
  } finally {
    await client.close()
  }
}

async function checkOtlp(exporter: HttpExporter, client: Client): Promise<Check> {
  const { name } = exporter
  const where = exporter.target
  const answer = await postNothing(exporter, client, '')
  if (!(answer instanceof SendError)) return ok(name, `${where} takes traces`)
  const options = { url: 'otlp.url', keys: 'otlp.headers' }
  // Some want at least one span, which is none of ours to send.
  return answer.status === 400 || answer.status === 422
    ? warning(name, `${where} does not take a request without spans: ${plain(answer)}`, null)
    : wrong(name, `${where}: ${plain(answer)}`, adviceFor(answer, options))
}

/** As one set of keys. Which project they are of is told by Langfuse. */
async function checkLangfuse(exporter: HttpExporter, client: Client, lane: string): Promise<Check> {
  const name = lane === '' ? exporter.name : `${exporter.name}, project ${lane}`
  const options: Options = {
    url: 'langfuse.base-url',
    keys: lane === '' ? 'langfuse.public-key and langfuse.secret-key' : 'langfuse.projects',
  }
  const where = exporter.url.origin
  const [project, taken] = await Promise.all([
    askProject(exporter, client, lane),
    postNothing(exporter, client, lane),
  ])
  if (taken instanceof SendError) {
    // Of wrong keys Langfuse says more there.
    const error = project instanceof SendError ? project : taken
    const message = `${where} does not take traces: ${plain(error)}`
    return wrong(name, message, adviceFor(error, options))
  }
  const found = project instanceof SendError ? null : projectIn(project)
  if (found !== null)
    return ok(name, `${where} takes traces for the project ${client.shown(found)}`)
  const why = project instanceof SendError ? plain(project) : 'that is no answer of Langfuse'
  const message = `${where} takes traces, and does not say for which project: ${why}`
  return warning(name, message, `is ${options.url} right?`)
}

function askProject(
  exporter: HttpExporter,
  client: Client,
  lane: string,
): Promise<Answer | SendError> {
  const { authorization = '' } = exporter.headersOf(lane) ?? {}
  // From /api/public/otel/v1/traces, whatever stands before it.
  const url = new URL('../../projects', exporter.url)
  return outcome(
    client.call({ method: 'GET', url, headers: { authorization }, body: null, bytes: 0 }, never),
  )
}

function postNothing(
  exporter: HttpExporter,
  client: Client,
  lane: string,
): Promise<Answer | SendError> {
  const { url } = exporter
  const headers = exporter.headersOf(lane) ?? {}
  return outcome(client.call({ method: 'POST', url, headers, body: NO_SPANS, bytes: 0 }, never))
}

async function outcome(call: Promise<Answer>): Promise<Answer | SendError> {
  try {
    return await call
  } catch (error) {
    if (error instanceof SendError) return error
    throw error
  }
}

/** Null: that is no answer of Langfuse. */
function projectIn({ body }: Answer): string | null {
  try {
    const { name } = JSON.parse(body.toString()).data[0]
    return typeof name === 'string' ? name : null
  } catch {
    return null
  }
}

/** A page says nothing in a line. */
function plain({ message }: SendError): string {
  return message.replace(/: <(!doctype|html).*/i, ' with an HTML page')
}
