const WORD = 2 ** 32

/**
 * Whether a new trace is recorded at a sample rate (0 to 1). One rule for all languages: the last 8 bytes of the
 * trace id, read as a big-endian unsigned integer, are below rate × 2^64. It is the rule of OpenTelemetry's
 * TraceIdRatioBased sampler in Python and Go, hence of Langfuse's Python SDK. A trace with a parent is
 * not asked: the parent's flag decides. The trace id comes as four words in byte order.
 */
export function sampled(_t0: number, _t1: number, t2: number, t3: number, rate: number): boolean {
  const scaled = rate * WORD
  const bound = Math.floor(scaled)
  const high = bigEndian(t2)
  // Two comparisons: 64 bits do not fit a double.
  return high < bound || (high === bound && bigEndian(t3) < Math.floor((scaled - bound) * WORD))
}

function bigEndian(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
}
