import type { SendError } from '../../export/http.ts'

/** Names of the options that can be wrong. */
export interface Options {
  readonly url: string
  readonly keys: string
  /** Of a URL, default those of HTTP. */
  readonly schemes?: { readonly plain: string; readonly secure: string }
  /** How an authority of certificates is made known. */
  readonly authority?: string
}

const HTTP = { plain: 'http://', secure: 'https://' }
const OF_NODE = 'NODE_EXTRA_CA_CERTS=<its file>, for the relay too'

type Advice = string | ((options: Required<Options>) => string)

/** What an error of the network says, and what it means; codes of Node, texts of clients. */
const NETWORK: readonly (readonly [RegExp, Advice])[] = [
  [/ENOTFOUND|EAI_/, 'the name of the host is not known: is it right, does DNS work here?'],
  [/ECONNREFUSED/, 'nothing listens there: are host and port right, is the server up?'],
  [
    /SELF_SIGNED|UNABLE_TO_/,
    ({ authority }) => `the certificate is of no authority that Node knows: ${authority}`,
  ],
  [
    /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    "the certificate is out of date, or this machine's clock is",
  ],
  [/ALTNAME/, 'the certificate is of another host: is the name right?'],
  [
    /EPROTO|SSL|before secure TLS/,
    ({ schemes: { plain, secure } }) =>
      `that server speaks no TLS at this port: ${plain} instead of ${secure}?`,
  ],
  [
    /ECONNRESET|UND_ERR_SOCKET|HPE_|Socket closed/,
    ({ schemes: { plain, secure } }) => `is it ${secure} instead of ${plain}? A proxy in between?`,
  ],
]

/** What can be done about a request that failed. */
export function adviceFor({ code, status, message }: SendError, options: Options): string {
  const { url, keys, schemes = HTTP, authority = OF_NODE } = options
  if (status === 401 || status === 403) return `are ${keys} right, and of this server?`
  if (status >= 300 && status < 400) return `${url} must name where it leads`
  if (status === 413) return 'a proxy in between takes no bodies: raise its limit'
  if (code === 'busy') return 'the relay tries again by itself; is the server well?'
  if (status > 0) return `is ${url} right?`
  const found = NETWORK.find(([pattern]) => pattern.test(message))?.[1]
  if (typeof found === 'function') return found({ url, keys, schemes, authority })
  return found ?? 'does a firewall or the network let it through, is the server well?'
}
