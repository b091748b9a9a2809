import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { projectOf } from './request.ts'
import { send } from './respond.ts'

const PROMPT = /^\/api\/public\/v2\/prompts\/([^/]+)$/

/** GET /api/public/v2/prompts/{name}: a text prompt, whatever the name. False: the request is about something else. */
export function takePrompt(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  projects: ReadonlyMap<string, string>,
  latencyMs: number,
): boolean {
  const name = PROMPT.exec(path)?.[1]
  if (request.method !== 'GET' || name === undefined) return false
  request.resume()
  void answer(decodeURIComponent(name))
  return true

  async function answer(promptName: string): Promise<void> {
    if (latencyMs > 0) await delay(latencyMs)
    if (projectOf(request.headers.authorization, projects) === undefined) {
      return send(response, { status: 401, body: '{"message":"invalid credentials"}' })
    }
    const prompt = {
      id: 'prompt-1',
      type: 'text',
      name: promptName,
      version: 1,
      prompt: 'Answer the question {{question}} with what the documents say.',
      config: {},
      labels: ['production', 'latest'],
      tags: [],
      commitMessage: null,
      resolutionGraph: null,
      projectId: 'project-1',
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:00.000Z',
      createdBy: 'user-1',
    }
    send(response, { status: 200, body: JSON.stringify(prompt) })
  }
}
