// biome-ignore lint/suspicious/noExplicitAny: methods of any object are hooked
export type Method = (this: any, ...args: any[]) => any

/**
 * Puts `replacement` before a method of this one object, which stays what it is otherwise. False when the object
 * is sealed against it.
 */
export function hook(object: object, name: PropertyKey, replacement: Method): boolean {
  return Reflect.defineProperty(object, name, {
    value: replacement,
    writable: true,
    configurable: true,
    enumerable: false,
  })
}

export function methodOf(object: object, name: PropertyKey): Method | undefined {
  const method: unknown = Reflect.get(object, name)
  return typeof method === 'function' ? (method as Method) : undefined
}
