// A chunk's row has 8 bytes for each of its traces (schema.ts): what belongs to a trace is found without reading chunks.

export const KEY_BYTES = 8

/** The key of a trace id: its first 4 bytes, and all its words xor-ed. */
export function keyBytes(traceId: Buffer): Buffer {
  const key = Buffer.from(traceId.subarray(0, KEY_BYTES))
  for (let i = 0; i < 4; i++) {
    const xor = [0, 4, 8, 12].reduce((all, at) => all ^ (traceId[at + i] as number), 0)
    key[4 + i] = xor
  }
  return key
}

/** Traces by their keys; asked about millions of keys of which it has few. */
export class TraceKeys<T> {
  /** By a key's first 16 bits: most keys need no second look. */
  readonly #first = new Uint8Array(0x1_0000)
  readonly #traces = new Map<number, T>()

  get size(): number {
    return this.#traces.size
  }

  set(traceId: Buffer, trace: T): void {
    const key = keyBytes(traceId)
    this.#first[key.readUInt16LE(0)] = 1
    this.#traces.set(numberAt(key, 0), trace)
  }

  /** The trace whose key stands at a byte of `keys`. */
  at(keys: Buffer, offset: number): T | undefined {
    const first = (keys[offset] as number) | ((keys[offset + 1] as number) << 8)
    return this.#first[first] === 0 ? undefined : this.#traces.get(numberAt(keys, offset))
  }
}

/** All that an exact number holds of a key: 53 bits. */
function numberAt(keys: Buffer, offset: number): number {
  return keys.readUInt32LE(offset) * 0x20_0000 + (keys.readUInt32LE(offset + 4) >>> 11)
}
