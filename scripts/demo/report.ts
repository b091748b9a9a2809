import { relative, sep } from 'node:path'
import type { Stats } from './check.ts'
import { KINDS, type Sent } from './requests.ts'

/** `12 answered, 24 streamed, …` */
export function kindsOf(sent: readonly Sent[]): string {
  const count = (wanted: string) => sent.filter(({ kind }) => kind === wanted).length
  return KINDS.map((kind) => `${count(kind)} ${kind}`).join(', ')
}

/** What tracing cost a request, in a sentence. */
export function costOf({ vitals }: Stats): string {
  const chat = vitals.find(({ service }) => service === 'chat-api')
  if (!chat?.microsecondsPerTrace) return 'What tracing cost the chat API is not known yet.'
  return `Tracing cost the chat API ${Math.round(chat.microsecondsPerTrace)} µs a request: the median of ${chat.seconds} seconds, by its own vitals, in a process
that had just started. \`npm run bench -- load\` measures a warm one, beside Langfuse's SDK.`
}

/** What became of the observations at an exporter; nothing where it has none. `status`: the command that tells more. */
export function deliveryOf(exporter: Stats['exporters'][number], status: string): string[] {
  const { name, delivered, deadLettered, held, delivery } = exporter
  if (delivery === null && held === 0) return []
  const dead = deadLettered > 0 ? `, ${deadLettered} in the dead letters` : ''
  const lines = [`Delivered to ${name}: ${delivered} observations, ${held} held${dead}.`]
  if (delivery === null) lines.push(`${name} is not configured now; what is held waits for it.`)
  else if (delivery.state !== 'ok') {
    lines.push(
      `${name} is ${delivery.state}: ${delivery.message ?? 'see its status'}`,
      `What is held stays in the store until it is put right; \`${status}\` shows how it stands.`,
    )
  }
  return lines
}

/** A path as a word of a command line that is typed in this folder. */
export function pathWord(path: string): string {
  const near = relative(process.cwd(), path) || '.'
  const word = near === '..' || near.startsWith(`..${sep}`) ? path : near
  return /^[\w./~-]+$/.test(word) ? word : JSON.stringify(word)
}
