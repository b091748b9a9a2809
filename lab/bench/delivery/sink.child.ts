// Takes OTLP requests, whatever their path, and counts their spans. A message is one word: `take` and `refuse` (with 503) say
// what it does from now on, `clear` forgets, `stats` is answered with SinkStats.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { eachSpan } from '../../../test/langfuse-server/count-spans.ts'
import type { SinkStats, SinkWord } from './sink.ts'
import { SpanSet } from './span-set.ts'

// Of a span, its ids come first: 0a 10 trace id, 12 08 span id.
const TRACE_ID = 0x0a
const SPAN_ID_AT = 20

const ids = new SpanSet()
let spans = 0
let bytes = 0
let wireBytes = 0
let requests = 0
let firstAt: number | null = null
let takes = true

function count(body: Buffer): void {
  eachSpan(body, (start) => {
    if (body[start] !== TRACE_ID) throw new Error('a span that does not begin with its ids')
    spans++
    ids.add(body, start + SPAN_ID_AT)
  })
  bytes += body.length
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

const server = createServer(async (request, response) => {
  firstAt ??= Date.now()
  requests++
  const body = await read(request)
  response.setHeader('content-type', 'application/json')
  if (takes) {
    wireBytes += body.length
    count(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body)
  } else response.statusCode = 503
  response.end('{}')
})

function clear(): void {
  ids.clear()
  spans = bytes = wireBytes = requests = 0
  firstAt = null
}

process.once('disconnect', () => process.exit())
process.on('message', (word: SinkWord) => {
  if (word === 'clear') clear()
  else if (word !== 'stats') takes = word === 'take'
  const stats: SinkStats = { spans, unique: ids.size, bytes, wireBytes, requests, firstAt }
  process.send?.(stats)
})
server.listen(0, '127.0.0.1', () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
