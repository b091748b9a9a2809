import { ActiveContext, activeContext, state, warnOnce } from '../context.ts'
import { Propagated, type PropagatedAttributes, type Span } from '../recorder/span.ts'
import { recording } from '../session.ts'
import { FIELD } from '../spool/format.ts'
import type { PropagateAttributesParams, PropagatedPromptInput } from './types.ts'

const MAX_CHARS = 200
const MAX_ENVIRONMENT_CHARS = 40
const ENVIRONMENT = /^(?!langfuse)[a-z0-9_-]+$/

type Changes = { -readonly [K in keyof PropagatedAttributes]: PropagatedAttributes[K] }

// Scalars, with their field in a record and their key in W3C baggage (Langfuse's keys).
const SCALARS = [
  ['userId', FIELD.userId, 'langfuse_user_id'],
  ['sessionId', FIELD.sessionId, 'langfuse_session_id'],
  ['version', FIELD.version, 'langfuse_version'],
  ['traceName', FIELD.traceName, 'langfuse_trace_name'],
  ['environment', FIELD.environment, 'langfuse_environment'],
  ['promptName', FIELD.promptName, 'langfuse_prompt_name'],
  ['promptVersion', FIELD.promptVersion, 'langfuse_prompt_version'],
] as const

/**
 * Runs `fn` with attributes that all observations started within it get, of any type, and sets them on the active
 * observation at once. Nested calls: tags unite, metadata merges by key, the rest is replaced. A value that is
 * no string, or longer than 200 characters, is dropped with a warning. Returns what `fn` returns.
 */
export function propagateAttributes<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
  params: PropagateAttributesParams,
  fn: F,
): ReturnType<F> {
  const run = fn as () => ReturnType<F>
  if (recording() === undefined) return run()
  const outer = activeContext()
  const before = outer?.propagated ?? state.base
  const changes = usableChanges(params ?? {})
  if (changes.tags && before?.tags) changes.tags = [...new Set([...before.tags, ...changes.tags])]
  if (changes.metadata) changes.metadata = { ...before?.metadata, ...changes.metadata }
  if (outer?.span) setOn(outer.span, changes)
  const propagated = new Propagated({ ...before, ...changes })
  const baggage = params?.asBaggage ? { ...outer?.baggage, ...baggageOf(changes) } : outer?.baggage
  const inner = new ActiveContext(
    outer?.span ?? null,
    propagated,
    outer?.claim ?? null,
    baggage ?? null,
  )
  return state.storage.run(inner, run)
}

/** Runs `fn`; observations started within it belong to the project, whose keys the relay knows. */
export function withProject<R>(project: string, fn: () => R): R {
  if (recording() === undefined) return fn()
  const outer = activeContext()
  const propagated = new Propagated({ ...outer?.propagated, project })
  const inner = new ActiveContext(
    outer?.span ?? null,
    propagated,
    outer?.claim ?? null,
    outer?.baggage ?? null,
  )
  return state.storage.run(inner, fn)
}

function usableChanges(params: PropagateAttributesParams): Changes {
  const { userId, sessionId, version, traceName, environment, tags, metadata, prompt } = params
  const changes: Changes = {}
  if (userId && isUsable('userId', userId)) changes.userId = userId
  if (sessionId && isUsable('sessionId', sessionId)) changes.sessionId = sessionId
  if (version && isUsable('version', version)) changes.version = version
  if (traceName && isUsable('traceName', traceName)) changes.traceName = traceName
  if (environment !== undefined && isUsableEnvironment(environment))
    changes.environment = environment
  if (tags && !Array.isArray(tags)) dropped('tags', 'must be an array')
  else if (tags) {
    const usable = tags.filter((tag) => isUsable('tag', tag))
    if (usable.length > 0) changes.tags = usable
  }
  if (metadata) {
    const usable = Object.entries(metadata).filter(([key, value]) =>
      isUsable(`metadata.${key}`, value),
    )
    if (usable.length > 0) changes.metadata = Object.fromEntries(usable)
  }
  if (prompt && !prompt.isFallback) Object.assign(changes, usablePrompt(prompt))
  return changes
}

function isUsable(name: string, value: unknown): value is string {
  if (typeof value !== 'string') return dropped(name, 'must be a string')
  if (value.length <= MAX_CHARS) return true
  return dropped(name, `is over ${MAX_CHARS} characters (${value.length})`)
}

function isUsableEnvironment(value: unknown): value is string {
  if (typeof value !== 'string') return dropped('environment', 'must be a string')
  if (value.length <= MAX_ENVIRONMENT_CHARS && ENVIRONMENT.test(value)) return true
  return dropped(
    'environment',
    `must be 1 to ${MAX_ENVIRONMENT_CHARS} of a-z, 0-9, - and _, not starting with 'langfuse'`,
  )
}

function usablePrompt({ name, version }: PropagatedPromptInput): Changes {
  const integer = typeof version === 'string' && /^\d+$/.test(version) ? Number(version) : version
  if (typeof name !== 'string' || name === '') dropped('prompt', 'needs a name')
  else if (!Number.isInteger(integer)) dropped('prompt', 'needs an integer as version')
  else return { promptName: name, promptVersion: integer as number }
  return {}
}

function dropped(name: string, why: string): false {
  // One warning for each attribute: user ids differ with every request.
  warnOnce(
    `propagateAttributes ${name}`,
    `propagateAttributes: '${name}' ${why}; the value is dropped`,
  )
  return false
}

function setOn(span: Span, changes: Changes): void {
  const { recorder } = state
  if (recorder === undefined) return
  for (const [name, field] of SCALARS) {
    if (changes[name] !== undefined) recorder.set(span, field, changes[name])
  }
  if (changes.tags) recorder.set(span, FIELD.tags, changes.tags)
  if (changes.metadata) recorder.set(span, FIELD.traceMetadata, changes.metadata)
}

function baggageOf(changes: Changes): Record<string, string> {
  const baggage: Record<string, string> = {}
  for (const [name, , key] of SCALARS) {
    if (changes[name] !== undefined) baggage[key] = String(changes[name])
  }
  if (changes.tags) baggage.langfuse_tags = changes.tags.join(',')
  for (const [key, value] of Object.entries(changes.metadata ?? {})) {
    baggage[`langfuse_metadata_${key}`] = value
  }
  return baggage
}
