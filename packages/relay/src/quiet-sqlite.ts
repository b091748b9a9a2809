/**
 * Node 22 and 24 warn that node:sqlite is experimental, which no user of a CLI can act upon. To be called in
 * each thread before node:sqlite is loaded.
 */
export function quietSqliteWarning(): void {
  const emitWarning = process.emitWarning
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (String(warning).startsWith('SQLite is an experimental')) return
    Reflect.apply(emitWarning, process, [warning, ...rest])
  }) as typeof process.emitWarning
}
