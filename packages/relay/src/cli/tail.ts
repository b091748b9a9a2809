import { setTimeout as delay } from 'node:timers/promises'
import { observationsOf } from '../http/answers.ts'
import type { Observation } from '../http/shapes.ts'
import type { StoreReader } from '../store/read.ts'
import type { Run } from './call.ts'
import { clockTime, duration } from './format.ts'
import { nextSignal } from './npm.ts'
import { wholeNumber } from './numbers.ts'
import { levelStyle, usageText } from './show-trace.ts'
import { openStore } from './store.ts'
import type { Terminal } from './terminal.ts'
import { jsonLine, pad, printable } from './text.ts'

const POLL_MS = 250
const SPANS_READ = 512
const BOUNDS = { valueBytes: 1024, totalBytes: 16 * 1024 ** 2 }
const JSON_BOUNDS = { valueBytes: 1024 ** 2, totalBytes: 64 * 1024 ** 2 }

export const run: Run = async (call) => {
  const { flags, json, loaded, terminal } = call
  const last = wholeNumber(call, 'limit', 10, 0, 10_000)
  const service = flags.get('service')
  const reader = openStore(loaded.config)
  const print = (observations: readonly Observation[]): void => {
    for (const observation of observations) {
      if (service !== undefined && observation.service !== service) continue
      terminal.print(json ? jsonLine(observation) : line(observation, terminal))
    }
  }
  const bounds = json ? JSON_BOUNDS : BOUNDS
  const ended = untilTold()
  let after = reader.lastChunk()
  print(observationsOf(reader, newest(reader, after, last), bounds))
  while (!ended.aborted) {
    const { spans, last: seen } = reader.spansAfter(after, SPANS_READ)
    after = seen
    print(observationsOf(reader, spans, bounds))
    if (spans.length === 0) await delay(POLL_MS, undefined, { signal: ended }).catch(() => {})
  }
  reader.close()
  return 0
}

/** Ends with Ctrl-C, without a stack and with exit code 0. */
function untilTold(): AbortSignal {
  const controller = new AbortController()
  void nextSignal().then(() => controller.abort())
  return controller.signal
}

/** The spans that ended last, up to a chunk. */
function newest(
  reader: StoreReader,
  chunk: number,
  wanted: number,
): ReturnType<typeof reader.spansAfter>['spans'] {
  if (wanted === 0) return []
  for (let back = 1; ; back *= 4) {
    const from = Math.max(0, chunk - back)
    const { spans } = reader.spansAfter(from, Number.POSITIVE_INFINITY)
    if (spans.length >= wanted || from === 0) return spans.slice(-wanted)
  }
}

function line(observation: Observation, terminal: Terminal): string {
  const { traceId, type, name, service, level, statusMessage, interrupted } = observation
  const facts = [
    observation.model !== null && printable(observation.model),
    observation.timeToFirstTokenMs !== null &&
      `first token ${duration(observation.timeToFirstTokenMs)}`,
    usageText(observation.usage),
    level !== 'DEFAULT' && terminal.style(levelStyle(level), printable(level)),
    interrupted && terminal.style('yellow', 'interrupted'),
    statusMessage !== null && printable(statusMessage.slice(0, 200)),
  ]
  const parts = [
    terminal.style('dim', clockTime(new Date(observation.endTime))),
    terminal.style('cyan', traceId.slice(0, 12)),
    pad(type, 10),
    pad(type === 'event' ? '' : duration(observation.durationMs), 9, 'start'),
    terminal.style('bold', printable(name)),
    service === null ? '' : terminal.style('dim', printable(service)),
    facts.filter(Boolean).join(' · '),
  ]
  return `${parts.filter((part) => part !== '').join('  ')}\n`
}
