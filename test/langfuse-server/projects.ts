import type { IncomingMessage, ServerResponse } from 'node:http'
import { projectOf } from './request.ts'
import { send } from './respond.ts'

const PATH = '/api/public/projects'

/** GET /api/public/projects: the project of the keys. False: the request is about something else. */
export function takeProjects(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  projects: ReadonlyMap<string, string>,
): boolean {
  if (request.method !== 'GET' || path !== PATH) return false
  request.resume()
  const publicKey = projectOf(request.headers.authorization, projects)
  if (publicKey === undefined) {
    const message = "Invalid credentials. Confirm that you've configured the correct host."
    send(response, { status: 401, body: JSON.stringify({ message }) })
    return true
  }
  const project = { id: `project-${publicKey}`, name: `Project of ${publicKey}`, metadata: {} }
  send(response, { status: 200, body: JSON.stringify({ data: [project] }) })
  return true
}
