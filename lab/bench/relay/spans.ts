import { about, between, type Random, writeText } from '../../apparatus/text.ts'

/** small: 4 attributes, 300 bytes; 4kb: the same with 4 KB of text; 64kb: what a generation has, 64 KB of messages. */
export type SpanKind = 'small' | '4kb' | '64kb'

const MESSAGES = 8

/** Makes attributes of spans: no two have the same text. */
export function attributesOf(kind: SpanKind, random: Random): () => object {
  // A stretch of prose from a long one: cutting costs nothing.
  const prose = writeText(random, 'en', 4 * 1024 * 1024)
  const stretch = (length: number): string => {
    const at = between(random, 0, prose.length - length)
    return prose.slice(at, at + length)
  }
  const small = { level: 'DEFAULT', version: 'v7' }
  switch (kind) {
    case 'small':
      return () => ({
        input: stretch(between(random, 10, 40)),
        output: stretch(between(random, 10, 40)),
        ...small,
      })
    case '4kb':
      return () => ({
        input: stretch(about(random, 3300)),
        output: stretch(about(random, 700)),
        ...small,
      })
    case '64kb':
      return () => ({
        input: Array.from({ length: MESSAGES }, (_, i) => ({
          role: i % 2 === 0 ? 'user' : 'assistant',
          content: stretch(about(random, 60_000 / MESSAGES)),
        })),
        output: stretch(about(random, 4000)),
        model: 'qwen3-32b',
        usageDetails: { input: 15_000, output: 1000 },
        ...small,
      })
  }
}
