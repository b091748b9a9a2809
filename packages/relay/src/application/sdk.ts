// What `startRelay` asks of the SDK in its process, which has no dependency on us, nor we on it: the state that all
// copies of @offpath/sdk share (packages/sdk/src/context.ts).
interface SdkState {
  readonly recorder?: { handOver(): boolean } | undefined
  readonly delivered?: ((timeoutMs: number) => Promise<boolean>) | undefined
  readonly options?:
    | { readonly spoolDir: string; readonly diskDir: string; readonly enabled: boolean }
    | undefined
}

export function sdkState(): SdkState {
  const place = globalThis as { readonly [name: symbol]: SdkState | undefined }
  return place[Symbol.for('offpath.1')] ?? {}
}
