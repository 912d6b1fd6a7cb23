/** Journal entries in words. */
import type { ClassDef, Entry, Json } from '../api/types'
import { empty, same, sentence, show } from '../lib/values'

/** `it` stands for the subject. */
const PAST: Record<string, string> = {
  create: 'opened it', update: 'changed it', note: 'wrote', acknowledge: 'acknowledged it', investigate: 'began to investigate it', contain: 'contained it', recover: 'began the recovery of it', resolve: 'resolved it', review: 'reviewed it',
  reopen: 'reopened it', relapse: 'saw it come back', link: 'linked it', unlink: 'took a link from it', undo: 'took back a step on it', delete: 'deleted it', accept: 'accepted what was seen of it', approve: 'approved it', reject: 'rejected it', deliver: 'delivered it',
  succeed: 'finished it', measure: 'measured it', fail: 'saw it fail', pass: 'saw it pass', assign: 'gave it away', health: 'saw it change',
  'sign-in': 'signed in', 'refuse-sign-in': 'was refused', 'sign-out': 'signed out', 'change-password': 'changed the password', 'set-up-second-factor': 'set up a second factor', 'remove-second-factor': 'removed the second factor',
  'create-token': 'made a token', 'revoke-token': 'ended a token', 'revoke-all': 'ended all sessions and tokens', 'open-first-sign-in': 'opened a first sign-in', 'use-first-sign-in': 'used a first sign-in',
}

export const isPerson = (e: Entry): boolean => e.actor.kind === 'person' || e.actor.kind === 'token' || e.actor.kind === 'local'

/** What the entry's actor did to it: "acknowledged it", "saw it fail". Unknown actions are told by their own name. */
export function deed(entry: Entry, cls?: ClassDef): string {
  // Trouble is opened; a machine or a person is created.
  if (entry.action === 'create' && cls && cls.verb !== 'respond' && cls.verb !== 'serve') return 'created it'
  const known = PAST[entry.action]
  if (known) return known
  const transition = cls?.transitions.find((t) => t.name === entry.action)
  return transition?.to ? `moved it to ${transition.to}` : `${sentence(entry.action).toLowerCase()} it`
}

export interface Difference {
  name: string
  before: Json | undefined
  after: Json | undefined
}

/** What is different after the entry. A creation shows nothing: all of it is new. */
export function differences(entry: Entry): Difference[] {
  if (entry.action === 'create') return []
  const names = new Set([...Object.keys(entry.before), ...Object.keys(entry.after)])
  return [...names].filter((n) => !same(entry.before[n], entry.after[n])).map((name) => ({ name, before: entry.before[name], after: entry.after[name] }))
}

/** Longest text of one side of a difference; the whole is in the record and in the journal. */
const SHOWN = 160

const short = (text: string): string => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text)

/** Lists of what was done step by step (the results of a run) are told by their last step: the others were told before. */
function lastSaid(value: Json | undefined): string | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined
  const last = value[value.length - 1]
  if (last === null || typeof last !== 'object' || Array.isArray(last)) return undefined
  return typeof last.said === 'string' ? last.said : undefined
}

/** A record that got its number in the same act is told by its id, which says nothing to a person. */
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export const inWords = (d: Difference, cls?: ClassDef): string => {
  if (typeof d.after === 'string' && ID.test(d.after) && empty(d.before)) return 'it'
  const said = lastSaid(d.after)
  if (said) return short(said)
  const field = cls?.fields.find((f) => f.name === d.name)
  const after = short(show(d.after, field))
  return empty(d.before) ? after || 'nothing' : `${short(show(d.before, field))} → ${after || 'nothing'}`
}
