import { untraced } from '../apparatus/tracing.ts'
import type { OpenSubject, Subject } from './subjects.ts'

/**
 * Opens a subject in this process.
 *
 * @param url Base URL of the server that takes the spans. Undefined leaves exporting out: exporters take each batch
 *   and drop it, and what remains is recording with the subject's own processor and batching.
 */
export async function openSubject(subject: Subject, url: string | undefined): Promise<OpenSubject> {
  if (subject === 'none') return { tracing: untraced, flush: async () => {}, taken: () => 0 }
  if (subject === 'offpath') return (await import('./offpath-subject.ts')).openOffpath()
  if (subject === 'otel') return (await import('./otel-subject.ts')).openOtel(url)
  const { openLangfuse } = await import('./langfuse-subject.ts')
  return openLangfuse(url, subject === 'langfuse-tuned' ? { flushAt: 10 } : {})
}
