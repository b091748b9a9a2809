// An application for cli.test.ts: records two traces with known ids, says so, and lives until stdin ends.
import { text } from 'node:stream/consumers'
import { flush, propagateAttributes, startActiveObservation, startObservation } from '@offpath/sdk'

const parent = (
  traceId: string,
): { parentSpanContext: { traceId: string; spanId: string; traceFlags: number } } => ({
  parentSpanContext: { traceId, spanId: '00000000000000aa', traceFlags: 1 },
})
const first = 'abcd0000000000000000000000000001'
const second = 'abcd0000000000000000000000000002'

await propagateAttributes({ userId: 'người dùng', sessionId: '会话' }, () =>
  startActiveObservation(
    'chat \u001b]0;owned\u0007 世界',
    async (root) => {
      root.update({ input: { question: 'Xin chào \u001b[31m' }, metadata: { a: 1 } })
      const generation = startObservation(
        'vllm',
        { model: 'qwen3', input: 'x'.repeat(10_000), usageDetails: { input: 412, output: 128 } },
        { asType: 'generation' },
      )
      generation.update({ completionStartTime: new Date(), output: 'Chào bạn' }).end()
      startObservation('lookup', { level: 'ERROR', statusMessage: 'upstream died' }).end()
    },
    parent(first),
  ),
)
startObservation('second', {}, parent(second)).end()
if (process.argv.includes('--open')) startObservation('left open', { input: 'so far' })
await flush({ timeoutMs: 5000 })
process.stdout.write('recorded\n')
await text(process.stdin)
