import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { crc32 } from 'node:zlib'
import { HEADER, MAX_HEADER_BYTES, SEGMENT_MAGIC, VERSION } from './format.ts'

/** Stands for resource attributes that are too many for a header. */
const RESOURCE_DROPPED = 'offpath.resource.dropped'

/** What a segment's header says of its writer and itself; see docs/spool-format.md. */
export interface SegmentHeader {
  readonly writer: string
  readonly segment: number
  readonly previous: { readonly segment: number; readonly length: number } | null
  readonly pid: number
  readonly pidStartTime: string | null
  readonly pidNamespace: string | null
  readonly bootId: string | null
  readonly thread: number
  readonly heartbeatSeconds: number
  readonly host: string
  readonly service: string | null
  readonly environment: string | null
  readonly release: string | null
  readonly sdk: { readonly name: string; readonly version: string }
  readonly language: string
  readonly startTime: string
  readonly resource: Readonly<Record<string, unknown>>
  /** The file still holds frames of an earlier segment behind this one's. */
  readonly recycled: boolean
}

/** The header's bytes: fixed part, loss block, JSON, zeros up to a multiple of 8. */
export function encodeHeader(header: SegmentHeader, nonce: Uint8Array, losses: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const length = (HEADER.json + json.length + 7) & ~7
  if (length > MAX_HEADER_BYTES) {
    if (RESOURCE_DROPPED in header.resource)
      throw new Error(`a header of ${length} bytes is too long`)
    return encodeHeader({ ...header, resource: { [RESOURCE_DROPPED]: true } }, nonce, losses)
  }
  const bytes = Buffer.alloc(length)
  bytes.set(SEGMENT_MAGIC, HEADER.magic)
  bytes.writeUInt32LE(VERSION, HEADER.version)
  bytes.writeUInt32LE(length, HEADER.length)
  bytes.set(nonce, HEADER.nonce)
  bytes.writeUInt32LE(json.length, HEADER.jsonLength)
  bytes.set(losses, HEADER.loss)
  bytes.set(json, HEADER.json)
  const fixed = crc32(bytes.subarray(HEADER.version, HEADER.crc))
  bytes.writeUInt32LE(crc32(json, fixed), HEADER.crc)
  return bytes
}

/** Who writes: enough for a reader in any pid namespace to tell whether it still lives. */
export interface ProcessIdentity {
  readonly pid: number
  readonly pidStartTime: string | null
  readonly pidNamespace: string | null
  readonly bootId: string | null
  readonly host: string
}

export function processIdentity(): ProcessIdentity {
  const stat = attempt(() => readFileSync('/proc/self/stat', 'latin1'))
  return {
    pid: process.pid,
    // The command name before it may hold spaces and parentheses: count from the last one.
    pidStartTime: stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null,
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')),
    bootId: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()),
    host: hostname(),
  }
}

/** Null where there is no /proc. */
function attempt(read: () => string): string | null {
  try {
    return read()
  } catch {
    return null
  }
}
