// What becomes of a chunk's spans for an exporter, a byte each: in a row of its outbox, and in the delivery that has taken
// some of them.
//
//   WAITING ──▶ TAKEN ──▶ SETTLED ──sent again──▶ AGAIN ──▶ AGAIN | TAKEN ──▶ SETTLED

/** In the outbox alone. */
export const WAITING = 0
/** In a request; a row says WAITING. */
export const TAKEN = 1
export const SETTLED = 2
/**
 * Alone, or beside TAKEN: it was settled before. Its observation is counted already, so what becomes of it now is counted
 * as that of a further version is. A row keeps it until then, also while it is in a request.
 */
export const AGAIN = 4

/**
 * States of a chunk of so many spans once the settled ones of `chosen` (indexes) are to be sent again, and how many these
 * are. `before`: null: all wait; undefined: the outbox does not hold the chunk.
 */
export function markAgain(
  before: Uint8Array | null | undefined,
  spans: number,
  chosen: readonly number[],
): { readonly states: Uint8Array; readonly marked: number } {
  const states = new Uint8Array(spans)
  if (before === undefined) states.fill(SETTLED)
  else if (before !== null) states.set(before)
  let marked = 0
  for (const index of chosen) {
    if (states[index] !== SETTLED) continue
    states[index] = AGAIN
    marked++
  }
  return { states, marked }
}

/** Whether some span waits for the first time; of AGAIN alone its application knows long since what became of it. */
export function hasFirst(states: Uint8Array | null): boolean {
  return states === null || states.includes(WAITING)
}
