export interface ChatApiOptions {
  host?: string
  /** 0 takes any free port. */
  port?: number
  /** Where vLLM or the simulator is, with or without `/v1`. */
  upstreamUrl?: string
  /** Key for a vLLM started with `--api-key`. */
  upstreamKey?: string
  /** Longest silence of the upstream, in milliseconds: before its headers and between two chunks. */
  upstreamTimeoutMs?: number
  /** How long `close` lets running requests finish, in milliseconds. */
  graceMs?: number
  /** Start the relay from here, where none can run beside it. */
  startsRelay?: boolean
}

export type ChatApiConfig = Readonly<Required<ChatApiOptions>>

/** Options first, then environment variables, then defaults. The only reader of `process.env`. */
export function readConfig(
  options: ChatApiOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): ChatApiConfig {
  return Object.freeze({
    host: options.host ?? env.HOST ?? '127.0.0.1',
    port: options.port ?? number(env, 'PORT', 3000),
    upstreamUrl: options.upstreamUrl ?? env.VLLM_URL ?? 'http://127.0.0.1:8000',
    upstreamKey: options.upstreamKey ?? env.VLLM_API_KEY ?? '',
    upstreamTimeoutMs: options.upstreamTimeoutMs ?? number(env, 'UPSTREAM_TIMEOUT_MS', 60_000),
    graceMs: options.graceMs ?? number(env, 'GRACE_MS', 5_000),
    startsRelay: options.startsRelay ?? env.START_RELAY === 'true',
  })
}

function number(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name]
  if (text === undefined || text === '') return fallback
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  throw new RangeError(`${name} must be a whole number from 0 up, not "${text}"`)
}
