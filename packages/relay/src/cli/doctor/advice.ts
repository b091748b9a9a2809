import type { SendError } from '../../export/http.ts'

/** Names of the options that can be wrong. */
export interface Options {
  readonly url: string
  readonly keys: string
}

/** What an error of the network says, and what it means; Node's codes. */
const NETWORK: readonly (readonly [RegExp, string])[] = [
  [/ENOTFOUND|EAI_/, 'the name of the host is not known: is it right, does DNS work here?'],
  [/ECONNREFUSED/, 'nothing listens there: are host and port right, is the server up?'],
  [
    /SELF_SIGNED|UNABLE_TO_/,
    'the certificate is of no authority that Node knows: NODE_EXTRA_CA_CERTS=<its file>, for the relay too',
  ],
  [
    /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    "the certificate is out of date, or this machine's clock is",
  ],
  [/ALTNAME/, 'the certificate is of another host: is the name right?'],
  [/EPROTO|SSL/, 'that server speaks no TLS at this port: http:// instead of https://?'],
  [/ECONNRESET|UND_ERR_SOCKET|HPE_/, 'is it https:// instead of http://? A proxy in between?'],
]

/** What can be done about a request that failed. */
export function adviceFor({ code, status, message }: SendError, { url, keys }: Options): string {
  if (status === 401 || status === 403) return `are ${keys} right, and of this server?`
  if (status >= 300 && status < 400) return `${url} must name where it leads`
  if (status === 413) return 'a proxy in between takes no bodies: raise its limit'
  if (code === 'busy') return 'the relay tries again by itself; is the server well?'
  if (status > 0) return `is ${url} right?`
  const found = NETWORK.find(([pattern]) => pattern.test(message))
  return found?.[1] ?? 'does a firewall or the network let it through, is the server well?'
}
