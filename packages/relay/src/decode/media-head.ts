// Media in the store: a data URI that bears where it came from, `data:image/png;source=bytes;base64,…`.

const TYPE = /^[\w.+-]+\/[\w.+-]+(?:; ?[\w.+-]+=[\w.+-]*)*$/
const MAX_TYPE_CHARS = 128
const SOURCES = ['bytes', 'base64_data_uri', 'file']

/** A MIME type, with parameters or without. */
export function isMediaType(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TYPE_CHARS && TYPE.test(value)
}

export function isMediaSource(value: unknown): value is string {
  return SOURCES.includes(value as string)
}

/** What stands before the base64; a type or source that is none is replaced by what is known: bytes. */
export function mediaHead(contentType: unknown, source: unknown): string {
  const type = isMediaType(contentType)
    ? contentType.replaceAll(' ', '')
    : 'application/octet-stream'
  return `data:${type};source=${isMediaSource(source) ? source : 'bytes'};base64,`
}
