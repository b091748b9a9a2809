import { atMost, figure, type Row, ratio, rowOf, type Target } from '../report.ts'

/**
 * Cost of a run grows with its steps to this power at most, from 10 to 80: 1 is linear, 2 what copying the history costs.
 * Above 1 is left for the list of messages, each of which is still named in every step.
 */
const GROWTH = 1.25

/** What was promised of recording alone. */
export function recorderTargets(rows: readonly Row[]): Target[] {
  const us = (inCase: string, subject: Row['subject']) => figure(rowOf(rows, inCase, subject), 'us')
  const delay = (inCase: string) => figure(rowOf(rows, inCase, 'offpath'), 'loop_delay_max_ms')
  const step = ratio(us('history-80', 'offpath'), us('history-10', 'offpath'))
  const growth = step === undefined ? undefined : 1 + Math.log(step) / Math.log(80 / 10)
  return [
    ...atMost(
      'of Langfuse',
      'small',
      ratio(us('small', 'offpath'), us('small', 'langfuse')),
      1 / 12,
      'ratio',
    ),
    ...atMost(
      'of OpenTelemetry',
      'small',
      ratio(us('small', 'offpath'), us('small', 'otel')),
      1 / 2.5,
      'ratio',
    ),
    ...atMost(
      'of Langfuse',
      'generation',
      ratio(us('generation', 'offpath'), us('generation', 'langfuse')),
      1 / 4,
      'ratio',
    ),
    ...atMost('grows with the steps to the power', 'history', growth, GROWTH, ''),
    ...atMost('longest loop delay', 'audio-buffer', delay('audio-buffer'), 2, 'ms'),
    ...atMost('longest loop delay', 'audio-string', delay('audio-string'), 2, 'ms'),
  ]
}
