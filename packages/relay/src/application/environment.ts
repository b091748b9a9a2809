// What of the application's environment the relay gets: its own variables and what a Node needs to run and to connect.
// Passwords of databases and the like stay in the application, and so does NODE_OPTIONS: what is preloaded there may be
// the very module that calls `startRelay`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const OURS = /^(OFFPATH|LANGFUSE)_/
const SYSTEM = new RegExp(
  `^(${[
    'HOME|USER|LOGNAME|PATH|TMPDIR|TEMP|TMP|TZ|LANG|LC_\\w+|XDG_\\w+|LD_LIBRARY_PATH|DYLD_\\w+',
    'NODE_COMPILE_CACHE|NODE_EXTRA_CA_CERTS|NODE_USE_SYSTEM_CA|NODE_USE_ENV_PROXY|NODE_TLS_REJECT_UNAUTHORIZED|OPENSSL_CONF|SSL_CERT_\\w+',
    '(HTTPS?|NO|ALL)_PROXY',
    // Windows.
    'SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA|SYSTEMDRIVE',
  ].join('|')})$`,
  'i',
)
const NAMED = /\$\{(\w+)/g

/** @param own variables that come before the application's */
export function relayEnvironment(
  env: NodeJS.ProcessEnv,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const passed: Record<string, string> = {}
  const named = namedIn(env, own)
  for (const [name, value] of Object.entries(env)) {
    const isNeeded = OURS.test(name) || SYSTEM.test(name) || named.has(name)
    if (isNeeded && value !== undefined) passed[name] = value
  }
  return { ...passed, ...own }
}

/** `${NAME}` in variables of ours and in offpath.yaml. */
function namedIn(env: NodeJS.ProcessEnv, own: Readonly<Record<string, string>>): Set<string> {
  const texts = [
    ...Object.values(own),
    ...Object.entries(env).map(([name, value]) => (OURS.test(name) ? value : undefined)),
    configText(own.OFFPATH_CONFIG ?? env.OFFPATH_CONFIG),
  ]
  return new Set(
    texts.flatMap((text) => [...(text ?? '').matchAll(NAMED)].map(([, name]) => name as string)),
  )
}

function configText(file: string | undefined): string {
  try {
    return readFileSync(file || join(process.cwd(), 'offpath.yaml'), 'utf8')
  } catch {
    // The relay says what is wrong with it.
    return ''
  }
}

/** As the SDK decides whether to record. */
export function isEnabled(env: NodeJS.ProcessEnv): boolean {
  for (const text of [env.OFFPATH_ENABLED, env.LANGFUSE_TRACING_ENABLED]) {
    if (/^(true|1|yes|on)$/i.test(text ?? '')) return true
    if (/^(false|0|no|off)$/i.test(text ?? '')) return false
  }
  return !/^(true|1|yes|on)$/i.test(env.OTEL_SDK_DISABLED ?? '')
}
