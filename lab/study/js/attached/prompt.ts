import { LangfuseClient } from '@langfuse/client'
import { KEYS } from '../../../apparatus/keys.ts'
import type { Attached } from './attached.ts'

/** The prompt is asked for in each request, as one does who wants each change at once: nothing cached. */
export function attachPrompt(sink: string): Attached {
  const client = new LangfuseClient({ ...KEYS, baseUrl: sink })
  const get = () => client.prompt.get('chat', { cacheTtlSeconds: 0 })
  return { prompt: (account) => account?.network(get()) ?? get() }
}
