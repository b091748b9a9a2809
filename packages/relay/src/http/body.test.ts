import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createBodies } from './body.ts'

const request = () => new Request('http://relay/', { method: 'POST', body: 'x' })

test('what ends awaits the body in use, and refuses those that wait or come', async () => {
  const bodies = createBodies(1000)
  const used: string[] = []
  let finish = (): void => {}
  const first = bodies.withBody(request(), 10, async () => {
    await new Promise<void>((resolve) => {
      finish = resolve
    })
    used.push('first')
  })
  const second = bodies.withBody(request(), 10, () => used.push('second'))
  const refused = expect(second).rejects.toMatchObject({ status: 503 })
  await turn()
  const closed = bodies.close().then(() => used.push('closed'))
  finish()
  await Promise.all([first, refused, closed])
  await expect(bodies.withBody(request(), 10, () => used.push('late'))).rejects.toMatchObject({
    status: 503,
  })
  expect(used).toEqual(['first', 'closed'])
})
