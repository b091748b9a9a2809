/**
 * A trace id, 32 hex digits: random, or the same for the same seed in all languages (the first half of the seed's
 * SHA-256), to find a trace again by an id of your own. Pass it on as parentSpanContext.
 */
export async function createTraceId(seed?: string): Promise<string> {
  if (!seed) return hex(crypto.getRandomValues(new Uint8Array(16)))
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(seed))
  return hex(new Uint8Array(digest, 0, 16))
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
