// What may happen, as plain data: a failing run can be kept as it was printed (regressions.ts).
import fc from 'fast-check'
import type { CrashPoint } from '../../packages/relay/src/crash-point.ts'

/**
 * What a server does with a request: takes it; takes it and the answer is lost; asks for later; takes no keys; never
 * answers, having taken it or not; says that it dropped the first span.
 */
export type Answer = 'ok' | 'lost' | 'busy' | 'unauthorized' | 'hang' | 'taken-hang' | 'partial'

/** Of the spool: full from the next segment on, memory alone or both tiers; or each write fails, or is cut in half. */
export type SpoolFault = 'memory-full' | 'full' | 'failing' | 'short'

export type Step =
  | { readonly do: 'open' }
  | {
      readonly do: 'start'
      readonly writer: number
      readonly parent: number
      readonly kind: number
      readonly event: boolean
      /** The server of one exporter will reject it. */
      readonly poison: 'a' | 'b' | null
    }
  | { readonly do: 'update'; readonly target: number; readonly kind: number }
  | { readonly do: 'end'; readonly target: number }
  | { readonly do: 'flush'; readonly writer: number }
  /** The event loop's turn ends: the application hands over, deliveries get on. */
  | { readonly do: 'turn' }
  | { readonly do: 'poll'; readonly ms: number }
  /** Writers are not heard of: for so long that they are thought dead; for an hour, and they are given up. */
  | { readonly do: 'silence' | 'hour' }
  /** The application is killed before it hands over, or while it writes so much of its last frame. */
  | { readonly do: 'kill'; readonly writer: number; readonly torn: number | null }
  | { readonly do: 'answers'; readonly exporter: 'a' | 'b'; readonly answers: readonly Answer[] }
  | { readonly do: 'deliver'; readonly rounds: number }
  /** The relay is killed where it passes a point for the n-th time, or where it stands. */
  | { readonly do: 'crash'; readonly at: CrashPoint | null; readonly nth: number }
  | { readonly do: 'restart' }
  | { readonly do: 'spool'; readonly fault: SpoolFault | null }
  | { readonly do: 'store'; readonly full: boolean }
  | { readonly do: 'pause'; readonly on: boolean }
  | { readonly do: 'expire'; readonly limit: number }
  /** Another relay wants the spool. */
  | { readonly do: 'rival' }
  | { readonly do: 'replay' | 'retry' }

const index = fc.nat(11)
/** By which a value is made: rarely one that leaves in slices. */
const kind = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom(0, 1, 2, 3, 4, 5) },
  { weight: 1, arbitrary: fc.constantFrom(6, 7) },
)
const exporter = fc.constantFrom('a' as const, 'b' as const)
const poison = fc.oneof(
  { weight: 12, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: exporter },
)
const answer = fc.constantFrom<Answer>(
  'ok',
  'lost',
  'lost',
  'busy',
  'unauthorized',
  'hang',
  'taken-hang',
  'partial',
)
const torn = fc.option(fc.constantFrom(0, 0.01, 0.2, 0.5, 0.9, 0.99))
const crashPoint = fc.option(
  fc.constantFrom<CrashPoint>('read', 'commit', 'unlink', 'send', 'acknowledge'),
  { freq: 6 },
)

function of<S extends Step['do']>(name: S): fc.Arbitrary<S> {
  return fc.constant(name)
}

/** Steps, the frequent ones several times over: of these fast-check takes each as often. */
export const stepArbitraries: fc.Arbitrary<Step>[] = [
  ...Array<fc.Arbitrary<Step>>(6).fill(
    fc.record({ do: of('start'), writer: index, parent: index, kind, event: fc.boolean(), poison }),
  ),
  ...Array<fc.Arbitrary<Step>>(3).fill(fc.record({ do: of('update'), target: index, kind })),
  ...Array<fc.Arbitrary<Step>>(5).fill(fc.record({ do: of('end'), target: index })),
  ...Array<fc.Arbitrary<Step>>(3).fill(fc.record({ do: of('flush'), writer: index })),
  ...Array<fc.Arbitrary<Step>>(6).fill(
    fc.record({ do: of('poll'), ms: fc.constantFrom(20, 120, 1100, 11_000) }),
  ),
  ...Array<fc.Arbitrary<Step>>(5).fill(
    fc.record({ do: of('deliver'), rounds: fc.integer({ min: 1, max: 4 }) }),
  ),
  ...Array<fc.Arbitrary<Step>>(3).fill(
    fc.record({
      do: of('crash'),
      at: crashPoint,
      nth: fc.integer({ min: 1, max: 3 }),
    }),
  ),
  fc.record({
    do: of('answers'),
    exporter,
    answers: fc.array(answer, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ do: of('answers'), exporter, answers: fc.array(answer, { minLength: 1 }) }),
  fc.record({ do: of('open') }),
  fc.record({
    do: of('kill'),
    writer: index,
    torn,
  }),
  fc.record({ do: of('turn') }),
  fc.record({ do: fc.constantFrom('silence' as const, 'silence' as const, 'hour' as const) }),
  fc.record({ do: of('restart') }),
  fc.record({
    do: of('spool'),
    fault: fc.constantFrom<SpoolFault | null>(
      'memory-full',
      'full',
      'failing',
      'short',
      null,
      null,
    ),
  }),
  fc.record({ do: of('store'), full: fc.boolean() }),
  fc.record({ do: of('pause'), on: fc.boolean() }),
  fc.record({ do: of('expire'), limit: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ do: of('rival') }),
  fc.record({ do: fc.constantFrom('replay' as const, 'retry' as const) }),
]
