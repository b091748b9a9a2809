import fc from 'fast-check'
import { finish, sum } from './check.ts'
import { Command, commands, farewell } from './commands.ts'
import { Model } from './model.ts'
import type { Step } from './steps.ts'
import { World } from './world.ts'

/** What runs met that ended as they have to. */
export interface Met {
  observations: number
  /** Of relays and of applications. */
  kills: number
  requests: number
  /** Of the spool, by the next relay after one that was killed. */
  takeovers: number
  /** Segments, and data files of the store, that were left for the next one. */
  fullSegments: number
  fullFiles: number
  /** Observations that an exporter did not get because its backlog was full. */
  backlogFull: number
  /** Observations that the spool had no room for, and writes that the store's disk had none for. */
  spoolFull: number
  storeFull: number
}

export const metNothing = (): Met => ({
  observations: 0,
  kills: 0,
  requests: 0,
  takeovers: 0,
  fullSegments: 0,
  fullFiles: 0,
  backlogFull: 0,
  spoolFull: 0,
  storeFull: 0,
})

/** Runs steps on a new model and a new world, and then checks what came of them. Throws where that is not as it has to be. */
async function trial(list: Iterable<fc.AsyncCommand<Model, World>>, met: Met): Promise<void> {
  const model = new Model()
  const world = new World()
  try {
    await fc.asyncModelRun(() => ({ model, real: world }), list)
    await finish(model, world, (application) => farewell(model, world, application))
    count(met, model, world)
  } finally {
    await world.close()
  }
}

function count(met: Met, model: Model, world: World): void {
  const { applications, destinations } = world
  met.observations += model.observations.length
  met.kills += world.kills + applications.filter(({ isKilled }) => isKilled).length
  met.requests += sum(destinations.map(({ requests }) => requests))
  met.takeovers += world.takeovers
  met.fullSegments += sum(applications.map(({ rotations }) => rotations))
  met.fullFiles += world.fullFiles()
  met.backlogFull += sum(world.exporters().map(({ dropped }) => dropped.backlog_full ?? 0))
  met.spoolFull += sum(applications.map(({ spoolFull }) => spoolFull))
  met.storeFull += world.disk.refused
}

/** A run that was kept. */
export function runSteps(steps: readonly Step[], met: Met): Promise<void> {
  return trial(
    steps.map((step) => new Command(step)),
    met,
  )
}

/** As many runs as are asked for, from this seed on; the first failing one is made as short as can be, and thrown. */
export async function runSeeds(numRuns: number, seed: number, met: Met): Promise<void> {
  await fc.assert(
    fc.asyncProperty(commands, (list) => trial(list, met)),
    { numRuns, seed },
  )
}
