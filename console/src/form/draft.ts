/** What has been changed in a form, as the API takes it. */
import type { Field, Fields, Json } from '../api/types'
import { empty, same } from '../lib/values'

/** A merge patch: only what differs; null takes a value away. */
export function changes(before: Fields, draft: Fields): Fields {
  const out: Fields = {}
  for (const name of new Set([...Object.keys(before), ...Object.keys(draft)])) {
    const value = draft[name]
    if (!same(before[name], value) && !(empty(before[name]) && empty(value))) out[name] = empty(value) ? null : value!
  }
  return out
}

/** Values a new record starts with. */
export function defaults(fields: Field[]): Fields {
  return Object.fromEntries(fields.filter((f) => !f.computed && f.default !== undefined && f.default !== null).map((f) => [f.name, f.default as Json]))
}

/** Needed fields that have nothing, with the words for each: told before the server has to. */
export function missing(fields: Field[], draft: Fields): Record<string, string> {
  return Object.fromEntries(fields.filter((f) => f.required && !f.computed && empty(draft[f.name])).map((f) => [f.name, `${f.title} is needed`]))
}
