// Loaded into the relay with --import: tells what the process has used when it is asked (as `Usage` of processes.ts). It
// costs nothing in between; it is JavaScript, for types would cost the process 30 MB to strip.
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpu: user + system, rssBytes: process.memoryUsage.rss() })
})
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.channel?.unref()
