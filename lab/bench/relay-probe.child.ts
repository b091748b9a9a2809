// Loaded into the relay with --import: tells what the process has used when it is asked. It costs nothing in between.
import type { Usage } from './processes.ts'

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  const usage: Usage = { cpu: user + system, rssBytes: process.memoryUsage.rss() }
  process.send?.(usage)
})
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.channel?.unref()
