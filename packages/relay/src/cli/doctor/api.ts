import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Config } from '../../config/options.ts'
import { isLoopback, OPEN_TO_ALL } from '../../http/server.ts'
import { readRelayFile } from '../../relay-file.ts'
import { askPool, askRelay } from '../status.ts'
import { type Check, ok, warning, wrong } from './check.ts'

/** Where the HTTP API listens, and who may ask it. */
export async function checkApi(config: Config): Promise<Check[]> {
  const host = config['http.host']
  const port = await checkPort(config, host, config['http.port'])
  if (isLoopback(host) || config['http.token'] !== undefined) return [port]
  const message = `the API at ${host} is ${OPEN_TO_ALL}`
  return [port, warning('http.token', message, 'set it')]
}

async function checkPort(config: Config, host: string, port: number): Promise<Check> {
  const where = `port ${port} of ${host}`
  if (port === 0) return ok('http.port', `any free port of ${host}`)
  const error = await tryToListen(host, port)
  if (error === null) return ok('http.port', `${where} is free`)
  if (error.code !== 'EADDRINUSE') {
    const message = `cannot listen on ${where}: ${error.message}`
    return wrong('http.port', message, 'http.host must be an address of this machine')
  }
  if (config['redis.receive']) {
    if (typeof (await askPool(config)) === 'object') {
      return ok('http.port', `${where} is a running relay's of the pool`)
    }
  }
  const relay = readRelayFile(config['store.dir'])
  if (relay !== null && isAt(relay.url, port) && (await askRelay(config)) !== 'none') {
    return ok('http.port', `${where} is the running relay's`)
  }
  const fix = 'stop that, or choose another one with http.port (0: any free one)'
  return wrong('http.port', `${where} is taken by another program`, fix)
}

function isAt(url: string, port: number): boolean {
  return URL.parse(url)?.port === String(port)
}

async function tryToListen(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    return null
  } catch (error) {
    return error as NodeJS.ErrnoException
  } finally {
    server.close()
  }
}
