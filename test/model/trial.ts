import fc from 'fast-check'
import { finish } from './check.ts'
import { Command, commands, farewell } from './commands.ts'
import { Model } from './model.ts'
import type { Step } from './steps.ts'
import { World } from './world.ts'

/** What a run met. */
export interface Met {
  observations: number
  /** Of relays and of applications. */
  kills: number
  requests: number
}

/** Runs steps on a new model and a new world, and then checks what came of them. Throws where that is not as it has to be. */
async function trial(list: Iterable<fc.AsyncCommand<Model, World>>, met: Met): Promise<void> {
  const model = new Model()
  const world = new World()
  try {
    await fc.asyncModelRun(() => ({ model, real: world }), list)
    await finish(model, world, (application) => farewell(model, world, application))
  } finally {
    await world.close()
    met.observations += model.observations.length
    met.kills += world.kills + world.applications.filter(({ isKilled }) => isKilled).length
    met.requests += world.destinations.reduce((sum, { requests }) => sum + requests, 0)
  }
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
