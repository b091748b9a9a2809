import type { Config } from '../../config/options.ts'
import { bytes } from '../format.ts'
import { shellWord } from '../npm.ts'
import { type Check, ok, warning, wrong } from './check.ts'
import { lookAt, MEMORY, NETWORK, type Place } from './place.ts'

type Name = 'spool.dir' | 'spool.disk-dir' | 'store.dir'

/** Half of what is free is the spool's cap, and less than this is soon full. */
const LITTLE_BYTES = 16 * 1024 ** 2

/** The directories: may they be used, are they private, do they lie where they should, do their caps fit. */
export function checkDirectories(config: Config): Check[] {
  return [
    ...check(config, 'spool.dir', (place) => [
      ...inMemory(place),
      capOf('spool.cap', config['spool.cap'], place),
    ]),
    ...check(config, 'spool.disk-dir', (place) => [
      ...outlives('spool.disk-dir', place),
      capOf('spool.disk-cap', config['spool.disk-cap'], place),
    ]),
    ...check(config, 'store.dir', (place) => [
      ...outlives('store.dir', place),
      ...locks(place),
      capOf('retention.size', config['retention.size'], place),
    ]),
  ]
}

function check(config: Config, name: Name, further: (place: Place) => Check[]): Check[] {
  const directory = config[name]
  const place = lookAt(directory)
  if (typeof place === 'string') {
    return [wrong(name, place, `put its owner and mode right, or name another one with ${name}`)]
  }
  return [privacy(name, directory, place), ...further(place)]
}

function privacy(name: Name, directory: string, { mode, fileSystem }: Place): Check {
  const on = fileSystem === '' ? '' : `, on ${fileSystem}`
  if (mode === null) return ok(name, `${directory} is not there yet and can be made${on}`)
  const octal = mode.toString(8)
  if (process.platform === 'win32' || (mode & 0o007) === 0) {
    return ok(name, `${directory} is private (mode ${octal})${on}`)
  }
  const message = `other users may look into ${directory} (mode ${octal})`
  return warning(name, message, `chmod o-rwx ${shellWord(directory)}`)
}

function inMemory({ fileSystem }: Place): Check[] {
  if (fileSystem === '' || MEMORY.includes(fileSystem)) return []
  const message = `is on ${fileSystem} and not in memory: a write of the application may wait for the disk`
  return [warning('spool.dir', message, 'name a directory in /dev/shm, or mount a tmpfs there')]
}

function outlives(name: Name, { fileSystem }: Place): Check[] {
  if (MEMORY.includes(fileSystem)) {
    const message = `is in memory (${fileSystem}): what is not delivered goes with a restart of the machine`
    return [warning(name, message, 'name a directory on a disk')]
  }
  if (fileSystem === 'overlay') {
    const message = "is in a container's own layer: what is not delivered goes with the container"
    return [warning(name, message, 'mount a volume there')]
  }
  return []
}

function locks({ fileSystem }: Place): Check[] {
  if (!NETWORK.includes(fileSystem)) return []
  const message = `is on a network (${fileSystem}), where SQLite's locks cannot be relied on`
  return [warning('store.dir', message, 'name a directory on a disk of this machine')]
}

/** Whether what may be used is there. */
function capOf(
  name: 'spool.cap' | 'spool.disk-cap' | 'retention.size',
  cap: number | undefined,
  { freeBytes, usedBytes }: Place,
): Check {
  const room = freeBytes + usedBytes
  if (cap === undefined) {
    const message = `${bytes(freeBytes)} are free, of which it takes half, and no more than 64 MB`
    return room >= LITTLE_BYTES
      ? ok(name, message)
      : warning(name, message, 'make more room, such as docker run --shm-size')
  }
  const message = `${bytes(cap)} may be used, ${bytes(freeBytes)} are free`
  return room >= cap ? ok(name, message) : warning(name, message, `lower ${name}, or make room`)
}
