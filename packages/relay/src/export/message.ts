const MAX_EXCERPT_CHARS = 500

/** A server's words as they may be shown: without secrets, on one line, not long. */
export function shownText(text: string, secrets: readonly string[]): string {
  return excerpt(redact(text, secrets))
}

function redact(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) clean = clean.replaceAll(secret, '***')
  return clean
}

function excerpt(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a server's answer must not drive a terminal.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ').trim()
  return line.length > MAX_EXCERPT_CHARS ? `${line.slice(0, MAX_EXCERPT_CHARS)}…` : line
}
