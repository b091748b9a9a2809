import type { IncomingMessage } from 'node:http'

/** Undefined when the client gave up; without bytes when there were more than the limit. */
export async function readBody(
  request: IncomingMessage,
  limit: number,
): Promise<{ length: number; bytes: Buffer | undefined } | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    // What is too long is read to its end, so that the client is there to see the 413.
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length <= limit) chunks.push(chunk)
      else chunks.length = 0
    }
  } catch {
    return undefined
  }
  return { length, bytes: length <= limit ? Buffer.concat(chunks) : undefined }
}

/** The public key, if public and secret key belong together. */
export function projectOf(
  authorization: string | undefined,
  projects: ReadonlyMap<string, string>,
): string | undefined {
  const [scheme, credentials = ''] = (authorization ?? '').split(' ')
  if (scheme?.toLowerCase() !== 'basic') return undefined
  const [publicKey = '', ...secret] = Buffer.from(credentials, 'base64').toString().split(':')
  return projects.has(publicKey) && projects.get(publicKey) === secret.join(':')
    ? publicKey
    : undefined
}
