// A server of HTTP for conformance.ts.
import type { Fault, LangfuseServer } from '../../../../test/langfuse-server/types.ts'
import type { Peer, Trouble } from './conformance.ts'
import type { Exporter } from './exporters.ts'

export function httpPeer(server: LangfuseServer, exporter: Exporter): Peer {
  const { secrets } = exporter
  const body = [...secrets, JSON.stringify(exporter.headersOf(''))].join(' ')
  const faults: Readonly<Record<Trouble, Fault>> = {
    away: { type: 'reset', when: 'headers' },
    busy: { type: 'status', status: 503, body },
    silent: { type: 'hang' },
    refuses: { type: 'status', status: 401, body },
    loses: { type: 'reset', accept: true },
  }
  return {
    exporter,
    arrived: async () => server.requests.filter(({ accepted }) => accepted),
    trouble: async (what) => {
      if (what === null) server.faults = undefined
      else if (what === 'loses') server.faults = [faults[what]]
      else server.faults = () => faults[what]
    },
    close: async () => {},
  }
}
