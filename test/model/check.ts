// What has to hold: the law at any time, and at the end that all is where the model says. Once a backlog was full, which that of
// `b` alone can be, nobody looks at the contents that this destination got, and dead letters are not compared.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { CapturedSpan } from '../langfuse-server/types.ts'
import type { Destination } from './destination.ts'
import { fateOf, hasEnded, type Model, type Observation, writtenValues } from './model.ts'
import type { World } from './world.ts'
import type { Application } from './writer.ts'

const ROUNDS = 300
/** Retries wait for five minutes at most. */
const ROUND_MS = 600_000

/** accepted = delivered + dead-lettered + dropped + held, for each exporter. */
export function checkLaw(world: World): void {
  for (const row of world.exporters()) {
    const { name, accepted, delivered, dead, held } = row
    const dropped = sum(Object.values(row.dropped))
    const text = JSON.stringify({ name, accepted, delivered, dead, dropped, held })
    assert.equal(accepted, delivered + dead + dropped + held, `the law is broken: ${text}`)
  }
  for (const { complaints } of world.destinations) assert.deepEqual(complaints, [])
}

/**
 * All that was broken works again, applications hand over with one more observation (`farewell`: losses are told with the next
 * frame), fall silent, and everything is delivered.
 */
export async function finish(
  model: Model,
  world: World,
  farewell: (application: Application) => void,
): Promise<void> {
  world.breakSpool(null)
  world.disk.store = null
  world.isPaused = false
  for (const destination of world.destinations) destination.answers.length = 0
  const alive = world.applications.filter(({ isAlive }) => isAlive)
  for (const application of alive) {
    // After a failure the spool is left alone for 0.1 s, after a slow write to disk for 1 s.
    for (let tries = 0; ; tries++) {
      farewell(application)
      if (application.handOver()) break
      assert(tries < 60, 'an application cannot hand over')
      await delay(50)
    }
  }
  world.pollAll()
  // They are thought dead: what they have open ends as interrupted.
  world.poll(75_000)
  world.pollAll()
  await deliverAll(world)
  checkLaw(world)
  checkCounters(model, world)
  for (const destination of world.destinations) checkDestination(destination, model, world)
  // In the end nothing is left of them. A timer of theirs may have recorded vitals meanwhile: that is read first.
  world.pollAll()
  world.poll(75_000)
  world.poll(3_700_000)
  world.pollAll()
  assert.deepEqual(world.segments(), [])
  assert.equal(
    world.read((reader) => reader.writers().length),
    0,
  )
}

async function deliverAll(world: World): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    await world.deliver(1, ROUND_MS)
    if (world.exporters().every(({ waiting, held }) => waiting + held === 0)) {
      // What is only sent again counts as neither.
      await world.deliver(1, ROUND_MS)
      return
    }
  }
  assert.fail(`it is not delivered: ${JSON.stringify(world.exporters())}`)
}

function checkCounters(model: Model, world: World): void {
  const counters = world.read((reader) => reader.counters())
  const fates = model.observations.map(fateOf)
  const written = fates.filter((fate) => fate === 'written').length
  assert.equal(counters.accepted ?? 0, written, 'accepted')
  // A loss is told with the next frame: of a writer that is dead by then the last ones may be missing.
  const told = sum(
    Object.entries(counters)
      .filter(([name]) => name.startsWith('lost.') && name !== 'lost.segment_removed')
      .map(([, count]) => count),
  )
  const most = sum(world.applications.map(({ losses }) => losses))
  const least = sum(world.applications.map(({ losses, isAlive }) => (isAlive ? losses : 0)))
  assert.equal(fates.filter((fate) => fate === 'lost').length, most, 'lost by applications')
  assert(told >= least && told <= most, `lost: ${told} told, of ${least} to ${most}`)
  for (const name of ['corruptFrames', 'lost.corrupt', 'unstorable', 'malformedRecords']) {
    assert.equal(counters[name] ?? 0, 0, name)
  }
}

function checkDestination(destination: Destination, model: Model, world: World): void {
  const { name, taken } = destination
  const row = world.exporters().find((found) => found.name === name)!
  const written = model.observations.filter((observation) => fateOf(observation) === 'written')
  const ids = new Set(written.map(({ spanId }) => spanId))
  for (const [id, [version]] of taken) {
    assert(ids.has(id), `${name} got ${version?.span.name}, which was never written`)
  }
  const { backlog_full: full = 0, refused = 0, ...others } = row.dropped
  assert.equal(sum(Object.values(others)), 0, `dropped: ${JSON.stringify(row.dropped)}`)
  assert.equal(row.delivered + row.dead + full + refused, written.length, `${name}: accepted`)
  assert(refused <= destination.refusals, `${name}: ${refused} refused`)
  const poison = written.filter((observation) => observation.poison === name).length
  if (full === 0) assert.equal(row.dead, poison, 'dead')
  let missing = 0
  for (const observation of written) {
    const versions = taken.get(observation.spanId)
    if (versions === undefined) missing++
    else if (!destination.dropped.has(observation.spanId) && full === 0) {
      checkContent(observation, versions.at(-1)!.span, name)
    }
  }
  assert(missing <= row.dead + full + refused, `${name}: ${missing} are missing`)
  if (name === 'a') checkOrder(destination, written)
}

function checkContent(observation: Observation, span: CapturedSpan, exporter: string): void {
  const where = `${observation.name} at ${exporter}`
  const { attributes } = span
  assert.equal(span.name, observation.name, where)
  assert.equal(span.traceId, observation.traceId, where)
  assert.equal(span.parentSpanId, observation.parent?.spanId ?? '', where)
  const ended = hasEnded(observation)
  if (ended !== null) {
    assert.equal(attributes['offpath.interrupted'] !== true, ended, `${where}: has ended`)
    if (ended) {
      const at = BigInt(observation.end!.at) * 1_000_000n
      assert.equal(span.endTimeUnixNano, at, `${where}: its end`)
    }
  }
  for (const [mark, value] of writtenValues(observation)) {
    const key = mark === observation.name ? 'input' : `metadata.${mark}`
    const found = attributes[`langfuse.observation.${key}`]
    // A large value of which a slice was lost says so.
    if (String(found).includes('[lost: blob ')) continue
    const expected = typeof value === 'string' ? value : JSON.stringify(value)
    assert.equal(found, expected, `${where}: ${key}`)
  }
}

/** One request after the other brings the observations of a writer in the order of their ends. */
function checkOrder({ taken }: Destination, written: readonly Observation[]): void {
  const inOrder = new Map([...taken.keys()].map((id, index) => [id, index]))
  for (const ofOne of Map.groupBy(written, ({ application }) => application).values()) {
    // Interrupted ones, and those that wait for slices or for a second recording of their end, come when they come.
    if (ofOne[0]!.application.lost.length > 0) continue
    const arrivals = ofOne
      .filter((observation) => {
        const first = taken.get(observation.spanId)?.[0]?.span
        const isWhole = first !== undefined && first.attributes['offpath.interrupted'] !== true
        return isWhole && !observation.isHuge && hasEnded(observation)
      })
      .sort((a, b) => a.end!.at - b.end!.at)
      .map(({ spanId }) => inOrder.get(spanId)!)
    assert.deepEqual(
      arrivals,
      arrivals.toSorted((a, b) => a - b),
      'not in the order of their ends',
    )
  }
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
