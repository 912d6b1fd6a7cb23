/** Views of a class: those every class has, and those people have saved. A view is only a name for a query. */
import type { ClassDef, Rec } from '../api/types'

export interface View {
  id: string
  title: string
  query: string
  sort?: string
  columns?: string[]
  /** The record behind a saved view. */
  record?: Rec
}

export function builtinViews(cls: ClassDef, me: string): View[] {
  const open = cls.states.some((s) => s.open)
  const closed = cls.states.some((s) => !s.open)
  const everything: View = { id: 'all', title: 'Everything', query: '' }
  if (cls.states.some((s) => s.name === 'UNKNOWN')) {
    return [
      { id: 'bad', title: 'Not well', query: '-state:OK' },
      { id: 'unknown', title: 'Unknown', query: 'state:UNKNOWN' },
      everything,
    ]
  }
  if (!open || !closed) return [everything]
  const living = cls.states.some((s) => s.open && /^(active|in-use|live)$/.test(s.name))
  if (living) {
    const health = cls.columns.includes('health') ? [{ id: 'bad', title: 'Not well', query: 'health:down,degraded,unknown' }] : []
    return [{ id: 'open', title: 'In use', query: 'state:open' }, ...health, everything]
  }
  return [
    { id: 'open', title: 'Open', query: 'state:open' },
    { id: 'mine', title: 'Mine', query: `state:open owner:${me}` },
    { id: 'free', title: 'Nobody’s', query: 'state:open owner:none' },
    everything,
  ]
}

const text = (v: unknown): string => (typeof v === 'string' ? v : '')

export function savedViews(records: Rec[], cls: ClassDef, me: string): View[] {
  return records
    .filter((r) => r.fields.lists === cls.name && (r.fields.shared === true || r.owner === me))
    .map((r) => ({
      id: r.key,
      title: r.title,
      query: text(r.fields.query),
      sort: text(r.fields.sort) || undefined,
      columns: Array.isArray(r.fields.columns) && r.fields.columns.length ? r.fields.columns.map(String) : undefined,
      record: r,
    }))
}
