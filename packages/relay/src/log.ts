/** Values of a line: `key=value`, quoted where needed. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LEVELS)[number]

/** The same warning or error (of the same exporter or file) is written once in this time; the next line says how many were left out. */
const QUIET_MS = 10_000
const MAX_REMEMBERED = 256

/**
 * Writes a line per event: `2026-11-24T10:00:00.000Z warn  no answer exporter=langfuse waitMs=812`.
 *
 * @param write takes complete lines
 * @param now milliseconds since 1970
 */
export function createLog(
  write: (line: string) => void,
  level: LogLevel,
  now: () => number = Date.now,
): Log {
  const recent = new Map<string, { at: number; left: number }>()

  const line = (severity: LogLevel, message: string, fields: LogFields = {}): void => {
    const at = now()
    let text = `${new Date(at).toISOString()} ${severity.padEnd(5)} ${clean(message)}`
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined) text += ` ${key}=${shown(value)}`
    }
    if (severity === 'warn' || severity === 'error') {
      const key = `${message}\0${fields.exporter ?? fields.path ?? fields.directory ?? ''}`
      const last = recent.get(key)
      if (last !== undefined && at - last.at < QUIET_MS && at >= last.at) {
        last.left++
        return
      }
      if (last !== undefined && last.left > 0) text += ` leftOut=${last.left}`
      recent.delete(key)
      recent.set(key, { at, left: 0 })
      if (recent.size > MAX_REMEMBERED) recent.delete(recent.keys().next().value!)
    }
    write(`${text}\n`)
  }

  const least = LEVELS.indexOf(level)
  const at = (severity: LogLevel): Log['info'] =>
    LEVELS.indexOf(severity) < least
      ? () => {}
      : (message, fields) => line(severity, message, fields)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function shown(value: string | number | boolean | null): string {
  const text = String(value)
  return typeof value === 'string' && !/^[\w.:/@%+,;()[\]{}<>#~*!?$^&|-]+$/.test(text)
    ? clean(JSON.stringify(text))
    : text
}

/** Servers' answers and file names end up here: nothing in them may drive a terminal or fake a line. */
function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (found) => {
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
