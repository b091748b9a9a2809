// Each step as a command of fast-check's: when it may come, and what it does to the model and to the world.
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { checkLaw } from './check.ts'
import { idsOf, isHuge, type Model, type Observation, recordedValue } from './model.ts'
import { type Step, stepArbitraries } from './steps.ts'
import type { World } from './world.ts'
import type { Application } from './writer.ts'

const MOST_APPLICATIONS = 4
const OVERDUE_MS = 75_000
const GIVEN_UP_MS = 3_700_000
/** Of explicit times: ms since 1970. */
const FIRST_TIME = 1_790_000_000_000

export class Command implements fc.AsyncCommand<Model, World> {
  readonly step: Step

  constructor(step: Step) {
    this.step = step
  }

  check(model: Readonly<Model>): boolean {
    const { step } = this
    switch (step.do) {
      case 'update':
      case 'end':
        return targetOf(model, step.target) !== undefined
      case 'hour':
        // Of what cannot be read nobody knows whether its writer is silent.
        return !model.isPaused && !model.isStoreFull && model.spoolFault === null
      default:
        return true
    }
  }

  async run(model: Model, world: World): Promise<void> {
    await act(this.step, model, world)
  }

  toString(): string {
    return JSON.stringify(this.step)
  }
}

/** Observations that can still be changed. */
function targetOf({ observations }: Readonly<Model>, index: number): Observation | undefined {
  const open = observations.filter(
    ({ end, isGivenUp, application }) => end === null && !isGivenUp && application.isAlive,
  )
  return open[index % open.length]
}

function applicationOf(world: World, index: number): Application {
  const alive = world.applications.filter(({ isAlive }) => isAlive)
  return alive[index % alive.length] ?? world.open()
}

async function act(step: Step, model: Model, world: World): Promise<void> {
  switch (step.do) {
    case 'open':
      if (world.applications.length < MOST_APPLICATIONS) world.open()
      return
    case 'start':
      return start(step, model, world)
    case 'update':
      return update(step, model)
    case 'end':
      return end(step, model)
    case 'flush':
      return applicationOf(world, step.writer).recorder.flush()
    case 'turn':
      await turn()
      return
    case 'poll':
      world.poll(step.ms)
      return checkLaw(world)
    case 'silence':
      return silence(world, OVERDUE_MS)
    case 'hour':
      return hour(model, world)
    case 'kill':
      return applicationOf(world, step.writer).kill(step.torn)
    case 'answers':
      world.destinations.find(({ name }) => name === step.exporter)?.answers.push(...step.answers)
      return
    case 'deliver':
      await world.deliver(step.rounds, 10_000)
      return checkLaw(world)
    case 'crash':
      await world.crash(step)
      return checkLaw(world)
    case 'restart':
      await world.restart()
      return checkLaw(world)
    case 'spool':
      model.spoolFault = step.fault
      return world.breakSpool(step.fault)
    case 'store':
      model.isStoreFull = step.full
      world.disk.store = step.full ? 'full' : null
      return
    case 'pause':
      model.isPaused = world.isPaused = step.on
      return
    case 'expire':
      return world.expire(step.limit)
    case 'rival':
      return assert(world.refusesRival(), 'a second relay was let into the spool')
    case 'replay':
    case 'retry':
      return world.sendAgain(step.do)
  }
}

function start(
  step: Step & { do: 'start' },
  model: Model,
  world: World,
  application: Application = applicationOf(world, step.writer),
): void {
  const siblings = model.observations.filter((other) => other.application === application)
  const parent = siblings[step.parent % (siblings.length + 1)] ?? null
  const name = markOf(model)
  const value = recordedValue(step.kind, name)
  const begin = step.event ? application.recorder.event : application.recorder.start
  const at = FIRST_TIME + model.marks
  const span = begin.call(
    application.recorder,
    parent?.span ?? null,
    null,
    name,
    0,
    0,
    { input: value },
    at,
  )
  const observation: Observation = {
    name,
    span,
    ...idsOf(span),
    parent,
    application,
    values: new Map([[name, value]]),
    isHuge: isHuge(step.kind),
    poison: step.poison,
    end: step.event ? { mark: name, at } : null,
    isGivenUp: false,
  }
  model.observations.push(observation)
  const { poison, spanId } = observation
  world.destinations.find((destination) => destination.name === poison)?.poison.add(spanId)
}

function update({ target, kind }: Step & { do: 'update' }, model: Model): void {
  const observation = targetOf(model, target)!
  record(observation, markOf(model), kind)
}

function record(observation: Observation, mark: string, kind: number): void {
  const value = recordedValue(kind, mark)
  observation.values.set(mark, value)
  observation.isHuge ||= isHuge(kind)
  observation.application.recorder.update(observation.span, { metadata: { [mark]: value } })
}

function end({ target }: Step & { do: 'end' }, model: Model): void {
  const observation = targetOf(model, target)!
  const mark = markOf(model)
  // An end alone bears no mark. They are in one frame.
  record(observation, mark, 5)
  const at = FIRST_TIME + model.marks
  observation.end = { mark, at }
  observation.application.recorder.end(observation.span, at)
}

function markOf(model: Model): string {
  return `mark${String(++model.marks).padStart(5, '0')}`
}

/** Nobody is heard of for so long, from where the relay has last looked. */
function silence(world: World, ms: number): void {
  world.poll(1001)
  world.poll(ms)
  world.poll(1001)
}

/** All that has a segment is given up: it is deleted under those who live, who come back at once. */
function hour(model: Model, world: World): void {
  const alive = world.applications.filter(({ isAlive }) => isAlive)
  for (const { recorder } of alive) recorder.flush()
  world.pollAll()
  silence(world, OVERDUE_MS)
  silence(world, GIVEN_UP_MS)
  world.pollAll()
  for (const observation of model.observations) observation.isGivenUp ||= observation.end === null
  for (const application of alive) application.handOver()
}

export const commands: fc.Arbitrary<Iterable<fc.AsyncCommand<Model, World>>> = fc.commands(
  stepArbitraries.map((steps) => steps.map((step) => new Command(step))),
  { maxCommands: 80, size: 'max' },
)

/** One more observation, with which an application tells what it lost. */
export function farewell(model: Model, world: World, application: Application): void {
  const plain = { writer: 0, parent: 0, kind: 5, event: true, poison: null }
  start({ do: 'start', ...plain }, model, world, application)
}
