/** An option of `init` that can't be used; the message names all of them and what is allowed. */
export class OptionsError extends Error {
  readonly code = 'OFFPATH_OPTIONS'
  override readonly name = 'OptionsError'
}
