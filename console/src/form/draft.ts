/** What has been changed in a form, as the API takes it. */
import type { Field, Fields, Json, TransitionDef } from '../api/types'
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

/** What a transition asks for: what it requires is needed, and what the record says already need not be typed again. */
export function asked(transition: TransitionDef, record: Fields = {}): { fields: Field[]; values: Fields } {
  const fields = transition.input.map((f) => (transition.requires.includes(f.name) ? { ...f, required: true } : f))
  const known = Object.fromEntries(fields.filter((f) => !empty(record[f.name])).map((f) => [f.name, record[f.name] as Json]))
  return { fields, values: { ...defaults(fields), ...known } }
}

/** Needed fields that have nothing, with the words for each: told before the server has to. */
export function missing(fields: Field[], draft: Fields): Record<string, string> {
  return Object.fromEntries(fields.filter((f) => f.required && !f.computed && empty(draft[f.name])).map((f) => [f.name, `${f.title} is needed`]))
}
