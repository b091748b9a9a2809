/**
 * Node's flags of a process that a test starts: it runs the sources, or what `npm run build` made of them where the Node
 * matrix says so. Node 22 keeps no stripped types, so that a relay takes a second to start from the sources, and a third of
 * one as its users have it.
 */
export const RUN_FLAGS: readonly string[] =
  process.env.OFFPATH_TEST_BUILT === 'true' ? [] : ['--conditions=offpath-source']
