/**
 * A cell: a service, new, under load for some seconds, and what became of what it recorded.
 *
 *   service ─▶ warm-up ─▶ flush, all there ─▶ begin ─▶ load ─▶ loaded ─▶ flush, all there ─▶ end
 *
 * Latency, delays of the loop and memory count during the load; CPU until all is delivered. Load comes from a process of
 * its own, at planned times.
 */
import { join } from 'node:path'
import { type Child, type LineChild, startChild, waitForCount } from '../apparatus/processes.ts'
import { rounded } from '../apparatus/statistics.ts'
import type { Arm } from './arms.ts'
import type { Beside } from './beside.ts'
import type { Case, CaseName } from './cases.ts'
import { longestOfEach } from './delays.ts'
import type { FireRequest, FireResult } from './fire.child.ts'
import type { Cell, ServiceFigures } from './results.ts'
import type { ServiceRequest } from './service.ts'
import { together } from './workers.ts'

export interface CellPlan {
  readonly part: Cell['part']
  readonly arm: Arm
  readonly again?: true
  readonly case: CaseName
  readonly round: number
  readonly path: Case['path']
  readonly language: Case['language']
  readonly characters: number
  /** A file with requests. */
  readonly bodies?: string | undefined
  readonly perSecond: number
  readonly seconds: number
  readonly seed: number
}

/** What a run of a study has ready for its cells. */
export interface Stage {
  /** Starts a service of the study's language. */
  startService(
    arm: Arm,
    request: Omit<ServiceRequest, 'settings'>,
    env: NodeJS.ProcessEnv,
  ): LineChild
  readonly upstream: string
  /** What an arm needs beside its service; the server that counts is among it. */
  besideOf(arm: Arm, inCase: CaseName): Promise<Beside>
}

/** What looks into a service while it is under load. */
export interface Watch {
  /** Added to what the service is started with. */
  readonly request?: Partial<ServiceRequest>
  begun?(pid: number, seconds: number): Promise<unknown>
  loaded?(): Promise<unknown>
}

const WARM_UP_S = 2
/** What is not there after its flush, and has not grown for so long, does not come. */
const QUIET_MS = 700
/** Another process may be late on a machine that is busy. */
const QUIET_BESIDE_MS = 5000

export async function runCell(stage: Stage, plan: CellPlan, watch: Watch = {}): Promise<Cell> {
  const { arm, path, language, characters, bodies, perSecond, seconds, seed } = plan
  const beside = await stage.besideOf(arm, plan.case)
  const { server } = beside
  const latencyMs = arm.sinkLatencyMs ?? 0
  await server.setLatency(latencyMs)
  const services: LineChild[] = []
  let fire: Child | undefined
  let port = 0
  let pid = 0
  try {
    for (let worker = 0; worker < (arm.workers ?? 1); worker++) {
      const request = { port, upstream: stage.upstream, sink: server.url, ...beside.request }
      const service = stage.startService(arm, { ...request, ...watch.request }, beside.env)
      services.push(service)
      const listening = await service.receive<{ port: number; pid: number }>()
      port = listening.port
      pid = listening.pid
    }
    const ask = <T>(command: string): Promise<T[]> =>
      Promise.all(
        services.map((service) => {
          service.send(command)
          return service.receive<T>()
        }),
      )
    /** How many observations have not arrived. */
    const flushed = async (): Promise<number> => {
      const answers = await ask<{ recorded: number }>('flush')
      const recorded = answers.reduce((sum, answer) => sum + answer.recorded, 0)
      const patienceMs = (arm.beside === undefined ? QUIET_MS : QUIET_BESIDE_MS) + latencyMs
      return recorded - (await waitForCount(server.received, recorded, patienceMs))
    }

    const request = { path, characters, language, bodies, perSecond }
    const keepAlive = services.length === 1
    const fireRequest: FireRequest = { ...request, port, seed, keepAlive }
    const firing = startChild(join(import.meta.dirname, 'fire.child.ts'), fireRequest, {})
    fire = firing
    const load = async (duration: number, begin: () => Promise<unknown>): Promise<FireResult> => {
      firing.send(duration)
      await firing.receive<'prepared'>()
      await begin()
      firing.send('go')
      return firing.receive<FireResult>()
    }
    await load(Math.min(WARM_UP_S, seconds), async () => {})
    const ofWarmUp = await flushed()
    await server.clear()

    const usedBefore = await beside.cpuUs()
    await watch.begun?.(pid, seconds)
    let begunAt = 0
    const fired = await load(seconds, async () => {
      await ask('begin')
      begunAt = Date.now()
    })
    const loadedAt = Date.now()
    await ask('loaded')
    await watch.loaded?.()
    await flushed()
    const besideUs = (await beside.cpuUs()) - usedBefore
    const figures = await ask<ServiceFigures>('end')
    await Promise.all(services.map((service) => service.ended()))
    const { delays, ...service } = together(figures)
    // Where nobody delivered before, what the warm-up left comes too.
    const late = (await beside.afterwards()) ? ofWarmUp : 0
    if (late > 0) await waitForCount(server.received, late + service.recorded, QUIET_BESIDE_MS)
    const traces = plan.case === 'jobs' ? { traces: await server.traces() } : {}
    const batches = await server.requests()
    return {
      part: plan.part,
      arm: arm.id,
      ...(plan.again && { again: true }),
      case: plan.case,
      round: plan.round,
      characters,
      perSecond,
      seconds,
      measured: [begunAt, loadedAt],
      requests: fired.requests,
      failed: fired.failed,
      latency: fired.latency,
      meanMs: rounded(fired.meanMs, 3) ?? 0,
      service: {
        ...service,
        ...(delays && { delays: longestOfEach(batches, delays, service.gc.pauses ?? []) }),
      },
      besideUs: rounded(besideUs / fired.requests, 1) ?? 0,
      delivered: Math.max(0, (await server.received()) - late),
      ...traces,
      batches,
    }
  } finally {
    await Promise.all([...services, fire].map((child) => child?.stop()))
    await server.clear()
    await beside.leave()
  }
}
