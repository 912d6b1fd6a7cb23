/** Puts things under keys, keeping their order. */
export function groupBy<T, K>(things: Iterable<T>, keyOf: (thing: T) => K): Map<K, T[]> {
  const out = new Map<K, T[]>()
  for (const thing of things) {
    const key = keyOf(thing)
    const group = out.get(key)
    if (group) group.push(thing)
    else out.set(key, [thing])
  }
  return out
}
