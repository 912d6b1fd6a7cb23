/** How long an incident stood in each of its stages, from its journal. Pure. */
import type { ClassDef, Entry, Rec } from '../api/types'

export interface Stage {
  name: string
  /** Milliseconds spent there, all stays together; undefined: never reached. */
  spent?: number
  current: boolean
}

export function stages(cls: ClassDef, record: Rec, entries: Entry[], now: number): Stage[] {
  const moves = entries
    .filter((e) => e.subject === record.key && typeof e.after.state === 'string')
    .toSorted((a, b) => a.seq - b.seq)
    .map((e) => ({ at: Date.parse(e.time), state: e.after.state as string }))
  // When the journal shown begins later than the record, its first stage began with the record.
  const first = cls.states.find((s) => s.initial)?.name ?? cls.states[0]?.name ?? record.state
  if (!moves.length || moves[0]!.state !== first) moves.unshift({ at: Date.parse(record.created), state: first })
  const spent = new Map<string, number>()
  moves.forEach((move, i) => {
    const until = moves[i + 1]?.at ?? now
    spent.set(move.state, (spent.get(move.state) ?? 0) + Math.max(0, until - move.at))
  })
  return cls.states.map((s) => ({ name: s.name, spent: spent.get(s.name), current: s.name === record.state }))
}
