export type { CollectedObservation } from './testing/assemble.ts'
export { collectObservations, type ObservationCollector } from './testing/collect.ts'
