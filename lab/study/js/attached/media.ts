import { LangfuseMedia } from '@langfuse/core'

/** Langfuse's class for bytes in an input; Offpath knows it too. */
export function wavOf(wav: Buffer): LangfuseMedia {
  return new LangfuseMedia({ source: 'bytes', contentBytes: wav, contentType: 'audio/wav' })
}
