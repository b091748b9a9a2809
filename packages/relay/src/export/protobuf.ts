// Protobuf's wire format, written from left to right into a buffer that is large enough: each function
// returns the position after what it wrote.

/** Bytes of a length written by `patchLength`. */
export const LENGTH_BYTES = 4
/** The largest length that fits into them. */
const MAX_LENGTH = 2 ** 28 - 1

export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}

/** An unsigned integer below 2^53. */
export function writeVarint(into: Buffer, at: number, value: number): number {
  let rest = value
  while (rest >= 0x8000_0000) {
    into[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  while (rest >= 0x80) {
    into[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  into[at++] = rest
  return at
}

export function int64Size(value: number | bigint): number {
  if (value < 0) return 10
  if (value < 0x1000_0000) return varintSize(Number(value))
  let size = 1
  for (let rest = BigInt(value); rest >= 0x80n; rest >>= 7n) size++
  return size
}

/** An int64; two's complement, so a negative one takes ten bytes. */
export function writeInt64(into: Buffer, at: number, value: number | bigint): number {
  if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
    return writeVarint(into, at, value)
  }
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest >= 0x80n) {
    into[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  into[at++] = Number(rest)
  return at
}

/** Nanoseconds since 1970 as a fixed64, without a BigInt: 10^9 × u32 needs 62 bits. */
export function writeNanos(into: Buffer, at: number, seconds: number, nanos: number): number {
  const high = (seconds >>> 16) * 1e9
  const low = (seconds & 0xffff) * 1e9 + (high % 0x1_0000) * 0x1_0000 + nanos
  return writeFixed32(
    into,
    writeFixed32(into, at, low % 0x1_0000_0000),
    Math.floor(high / 0x1_0000) + Math.floor(low / 0x1_0000_0000),
  )
}

export function writeFixed32(into: Buffer, at: number, value: number): number {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
  return at + 4
}

/** Short runs by a loop, longer ones by `set`, whose call alone costs what 12 bytes do. */
export function writeBytes(into: Buffer, at: number, bytes: Uint8Array): number {
  const length = bytes.length
  if (length > 12) into.set(bytes, at)
  else for (let i = 0; i < length; i++) into[at + i] = bytes[i]!
  return at + length
}

/** A length-delimited field with UTF-8 text. */
export function writeText(into: Buffer, at: number, tag: number, text: string): number {
  into[at++] = tag
  // Short ASCII, nearly always: its length in bytes is known, and a call into C++ is spared.
  const length = text.length
  if (length <= 24) {
    let i = 0
    for (; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) break
      into[at + 1 + i] = code
    }
    if (i === length) {
      into[at] = length
      return at + 1 + length
    }
  }
  const bytes = Buffer.byteLength(text)
  at = writeVarint(into, at, bytes)
  into.write(text, at, 'utf8')
  return at + bytes
}

/**
 * Writes the length of what lies between `at` + LENGTH_BYTES and `end` at `at`: a varint padded to a
 * fixed width, so that nothing has to be measured before it is written or moved afterwards. Decoders
 * take it like any other (protobuf.dev, encoding: a varint need not be minimal).
 */
export function patchLength(into: Buffer, at: number, end: number): void {
  const length = end - at - LENGTH_BYTES
  if (length > MAX_LENGTH) throw new RangeError(`${length} bytes are too many`)
  into[at] = (length & 0x7f) | 0x80
  into[at + 1] = ((length >>> 7) & 0x7f) | 0x80
  into[at + 2] = ((length >>> 14) & 0x7f) | 0x80
  into[at + 3] = length >>> 21
}
