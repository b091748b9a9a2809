import { KEYS } from '../../../apparatus/keys.ts'

/** How LangfuseSpanProcessor sets up its exporter, for exporters of another kind. */
export function langfuseEndpoint(sink: string): {
  url: string
  headers: Record<string, string>
  timeoutMillis: number
} {
  const { publicKey, secretKey } = KEYS
  return {
    url: `${sink}/api/public/otel/v1/traces`,
    headers: { authorization: `Basic ${btoa(`${publicKey}:${secretKey}`)}` },
    timeoutMillis: 5000,
  }
}
