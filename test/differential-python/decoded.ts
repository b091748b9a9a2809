import type { Run } from '../differential/run.ts'
import type { AttributeValue, CapturedSpan } from '../langfuse-server/types.ts'

/** Attributes that are JSON text, or text as it is. */
const VALUES =
  /^langfuse\.(observation|trace)\.(input|output|metadata|usage_details|cost_details|completion_start_time|model\.parameters)(\.|$)/
const COMPLETION_START = 'langfuse.observation.completion_start_time'
const METADATA = /^langfuse\.(observation|trace)\.metadata(\.|$)/

/**
 * A run with values as they are meant, whatever dialect they came in: JSON with one spelling (`{"a": "\u1ebf"}` and
 * `{"a":"ế"}` are the same, and so are a text alone and its JSON), and metadata as text, from Langfuse 3 and 4's OTLP integers and booleans and from Langfuse 5's
 * quoted strings.
 *
 * @param quoted all metadata is JSON, texts included: Langfuse 5's dialect
 */
export function decoded(run: Run, quoted: boolean): Run {
  return { ...run, spans: run.spans.map((span) => decodedSpan(span, quoted)) }
}

function decodedSpan(span: CapturedSpan, quoted: boolean): CapturedSpan {
  const attributes = Object.entries(span.attributes).map(([key, value]) => {
    if (!VALUES.test(key)) return [key, value]
    const text = METADATA.test(key) ? metadataText(value, quoted) : value
    if (typeof text !== 'string') return [key, text]
    return [key, key === COMPLETION_START ? instant(text) : oneSpelling(text)]
  })
  return { ...span, attributes: Object.fromEntries(attributes) }
}

function metadataText(value: AttributeValue, quoted: boolean): AttributeValue {
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (!quoted || typeof value !== 'string') return value
  const inner: unknown = JSON.parse(value)
  return typeof inner === 'string' ? inner : value
}

function oneSpelling(text: string): string {
  // A number would lose digits.
  if (/^-?\d{16,}$/.test(text)) return text
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? oneSpelling(value) : JSON.stringify(value)
  } catch {
    return text
  }
}

/** A point in time however its offset and its fraction are written; microseconds, which is what Python has. */
function instant(json: string): string {
  const text = JSON.parse(json) as string
  const [, seconds, fraction = '', offset] = /^([^.Z+]+)(?:\.(\d+))?(.*)$/.exec(text)!
  return `${new Date(`${seconds}${offset}`).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`
}
