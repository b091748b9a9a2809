/** From this part of its thread's time on an untraced service leaves too little for what tracing adds. */
const MOST = 0.38

/** The part of its thread's time that an untraced service took, where it is too much: requests pile up. Else undefined. */
export function busyShare(mainUs: number, perSecond: number): number | undefined {
  const share = (mainUs * perSecond) / 1e6
  return share > MOST ? share : undefined
}
