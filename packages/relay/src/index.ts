// What applications import. It loads neither the relay nor node:sqlite: those run elsewhere, or not at all.
export type { StartRelayOptions } from './application/options.ts'
export { type RelayStatus, type StartedRelay, startRelay } from './application/start-relay.ts'
export type { RelayState } from './application/supervisor.ts'
export { ConfigError } from './config/config-error.ts'
