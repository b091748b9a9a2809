import { atMost, figure, type Row, ratio, rowOf, type Target } from '../report.ts'
import type { LoadCase } from './loads.ts'

/** Of Langfuse's figure in the same case: main thread, and all processes together. */
const PROMISED: Readonly<Partial<Record<LoadCase, { main: number; total: number }>>> = {
  rag: { main: 1 / 5, total: 0.65 },
  agent: { main: 1 / 6, total: 0.65 },
  longctx: { main: 1 / 8, total: 0.5 },
  history: { main: 1 / 8, total: 0.5 },
  vi: { main: 1 / 10, total: 0.5 },
}
const RSS_MB = 25
const WORST_DELAY_MS = 10

/** What was promised of a service under load. */
export function loadTargets(rows: readonly Row[]): Target[] {
  const cases = [...new Set(rows.map((row) => row.case))]
  return cases.flatMap((inCase) => {
    const of = (subject: Row['subject'], field: string) =>
      figure(rowOf(rows, inCase, subject), field)
    const promised = PROMISED[inCase as LoadCase]
    const untraced = of('none', 'loop_delay_max_ms')
    const delay = of('offpath', 'loop_delay_max_ms')
    const tuned = of('langfuse-tuned', 'loop_delay_max_ms')
    const rss = (subject: Row['subject']) => of(subject, 'rss_mb') ?? Number.NaN
    return [
      ...(promised === undefined
        ? []
        : [
            ...atMost(
              'main thread, of Langfuse',
              inCase,
              ratio(of('offpath', 'us'), of('langfuse', 'us')),
              promised.main,
              'ratio',
            ),
            ...atMost(
              'all processes, of Langfuse',
              inCase,
              ratio(of('offpath', 'total_us'), of('langfuse', 'total_us')),
              promised.total,
              'ratio',
            ),
          ]),
      ...(untraced === null
        ? []
        : atMost(
            'longest loop delay, to 2 ms + 1.5 × untraced',
            inCase,
            delay,
            2 + 1.5 * untraced,
            'ms',
          )),
      ...atMost(
        'longest loop delay of all rounds',
        inCase,
        of('offpath', 'loop_delay_worst_ms'),
        WORST_DELAY_MS,
        'ms',
      ),
      ...(tuned === null
        ? []
        : atMost('longest loop delay, to tuned Langfuse', inCase, delay, tuned, 'ms')),
      ...atMost('memory of the application', inCase, rss('offpath') - rss('none'), RSS_MB, 'MB'),
      ...atMost('observations lost', inCase, of('offpath', 'lost'), 0, ''),
    ]
  })
}
