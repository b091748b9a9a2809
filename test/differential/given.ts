/** Ids and times that programs give; they must arrive unchanged. */
export const traceId: string = 'ab'.repeat(16)
export const spanId: string = 'cd'.repeat(8)
export const otherTraceId: string = 'ef'.repeat(16)
/** createTraceId('seed'): the first half of SHA-256 of the seed. */
const seededTraceId = '19b25856e1c150ca834cffc8b59b23ad'
/** createTraceId('Tiếng Việt 😀') */
const unicodeSeededTraceId = 'bd7b4426e12470860f7738247d3c13ff'

export const ids: ReadonlySet<string> = new Set([
  traceId,
  spanId,
  otherTraceId,
  seededTraceId,
  unicodeSeededTraceId,
])

/** 2023-11-14T22:13:20.123Z */
export const start: Date = new Date(1_700_000_000_123)
/** 2023-11-14T22:13:25.456Z */
export const end: Date = new Date(1_700_000_005_456)

export const parent: { traceId: string; spanId: string; traceFlags: number } = {
  traceId,
  spanId,
  traceFlags: 1,
}
