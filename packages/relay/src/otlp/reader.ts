// Protobuf's wire format, read from left to right. Nothing is allocated by a length that was not compared with the bytes
// that are there.
import { MalformedError } from './message.ts'

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

export class Reader {
  readonly bytes: Buffer
  at = 0
  /** Where the message that is being read ends. */
  end: number
  /** Of the field that `next` came to. */
  field = 0
  wire = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
    this.end = bytes.length
  }

  /** Reads the tag of the next field; false: the message ends here. */
  next(): boolean {
    if (this.at >= this.end) return false
    const tag = this.size()
    this.field = Math.floor(tag / 8)
    this.wire = tag % 8
    if (this.field === 0) this.fail('a field has the number 0')
    return true
  }

  /** Goes into a message that is the field's value; returns what `leave` takes. */
  enter(): number {
    const outer = this.end
    const length = this.length()
    this.end = this.at + length
    return outer
  }

  leave(outer: number): void {
    this.at = this.end
    this.end = outer
  }

  /** A varint below 2^53, as tags and lengths are. */
  size(): number {
    let value = 0
    for (let scale = 1; scale < 2 ** 53; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80)
        return value <= Number.MAX_SAFE_INTEGER ? value : this.fail('a length is above 2^53')
    }
    return this.fail('a length has too many bytes')
  }

  /** A varint as an enum or a uint32 has it: the low 32 bits. */
  uint32(): number {
    this.expect(WIRE.varint)
    let value = 0
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte()
      if (i < 5) value |= (byte & 0x7f) << (7 * i)
      if (byte < 0x80) return value >>> 0
    }
    return this.fail('a number has too many bytes')
  }

  int64(): number | bigint {
    this.expect(WIRE.varint)
    let value = 0
    let big = 0n
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte()
      // Up to 49 bits a number does.
      if (i < 7) value += (byte & 0x7f) * 2 ** (7 * i)
      else big |= BigInt(byte & 0x7f) << BigInt(7 * i)
      if (byte >= 0x80) continue
      if (i < 7) return value
      const whole = BigInt.asIntN(64, big | BigInt(value))
      const number = Number(whole)
      return Number.isSafeInteger(number) ? number : whole
    }
    return this.fail('a number has too many bytes')
  }

  fixed64(): bigint {
    this.expect(WIRE.fixed64)
    this.#need(8)
    const value = this.bytes.readBigUInt64LE(this.at)
    this.at += 8
    return value
  }

  double(): number {
    this.expect(WIRE.fixed64)
    this.#need(8)
    const value = this.bytes.readDoubleLE(this.at)
    this.at += 8
    return value
  }

  fixed32(): number {
    this.expect(WIRE.fixed32)
    this.#need(4)
    const value = this.bytes.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  /** A view of the request. */
  view(): Buffer {
    const length = this.length()
    const view = this.bytes.subarray(this.at, this.at + length)
    this.at += length
    return view
  }

  text(): string {
    return this.view().toString()
  }

  /** Passes over the value of a field that is of no interest. */
  skip(): void {
    switch (this.wire) {
      case WIRE.varint:
        for (let i = 0; i < 10; i++) if (this.#byte() < 0x80) return
        return void this.fail('a number has too many bytes')
      case WIRE.fixed64:
        this.#need(8)
        this.at += 8
        return
      case WIRE.bytes: {
        const length = this.length()
        this.at += length
        return
      }
      case WIRE.fixed32:
        this.#need(4)
        this.at += 4
        return
      default:
        this.fail(`field ${this.field} has the wire type ${this.wire}`)
    }
  }

  length(): number {
    this.expect(WIRE.bytes)
    const length = this.size()
    this.#need(length)
    return length
  }

  expect(wire: number): void {
    if (this.wire !== wire) this.fail(`field ${this.field} has the wire type ${this.wire}`)
  }

  fail(what: string): never {
    throw new MalformedError(`byte ${this.at}: ${what}`)
  }

  #byte(): number {
    if (this.at >= this.end) this.fail('it ends within a value')
    return this.bytes[this.at++] as number
  }

  #need(bytes: number): void {
    if (bytes > this.end - this.at) this.fail('it ends within a value')
  }
}
