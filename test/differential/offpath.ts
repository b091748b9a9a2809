import { flush } from '@offpath/sdk'

/** Nothing to set up: environment variables are enough. */
export function start(): void {}

export async function deliver(): Promise<void> {
  if (!(await flush({ until: 'delivered', timeoutMs: 50_000 }))) throw new Error('not delivered')
}
