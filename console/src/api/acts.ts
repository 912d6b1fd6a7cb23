/** What changes something. Each act is one request; the caller decides what to say and whether to offer an undo. */
import { api, at } from './http'
import type { Entry, EntryPage, Fields, Json, Rec } from './types'

export interface Change {
  fields?: Fields
  owner?: string | null
  title?: string
}

export const create = (cls: string, body: { key?: string; fields: Fields; owner?: string; links?: { type: string; to: string }[] }): Promise<Rec> =>
  api<Rec>(at(cls), { body, idempotencyKey: crypto.randomUUID() })

export const update = (r: Pick<Rec, 'class' | 'key'>, version: number, change: Change): Promise<Rec> =>
  api<Rec>(at(r.class, r.key), { method: 'PATCH', body: change, ifMatch: version })

export const remove = (r: Pick<Rec, 'class' | 'key'>): Promise<void> => api<void>(at(r.class, r.key), { method: 'DELETE' })

export const transition = (r: Pick<Rec, 'class' | 'key'>, name: string, input: { fields?: Fields; note?: string } = {}): Promise<Rec> =>
  api<Rec>(`${at(r.class, r.key)}/transitions/${encodeURIComponent(name)}`, { body: input })

export const note = (cls: string, key: string, text: string): Promise<Entry> => api<Entry>(`${at(cls, key)}/notes`, { body: { text } })

export const undo = (cls: string, key: string, seq: number): Promise<Rec> => api<Rec>(`${at(cls, key)}/undo`, { body: { seq } })

/** The newest entry about a record with this action: what an undo takes back. */
export async function lastEntry(cls: string, key: string, action?: string): Promise<Entry | undefined> {
  const { entries } = await api<EntryPage>(`${at(cls, key)}/journal?limit=10`)
  return entries.filter((e) => !action || e.action === action).toSorted((a, b) => b.seq - a.seq)[0]
}

export const link = (from: Pick<Rec, 'class' | 'key'>, type: string, to: Pick<Rec, 'class' | 'key'>): Promise<void> =>
  api<void>('/links', { body: { from: { class: from.class, key: from.key }, type, to: { class: to.class, key: to.key } } })

export const unlink = (from: Pick<Rec, 'class' | 'key'>, type: string, to: Pick<Rec, 'class' | 'key'>): Promise<void> =>
  api<void>('/links', { method: 'DELETE', body: { from: { class: from.class, key: from.key }, type, to: { class: to.class, key: to.key } } })

export const accept = (cls: string, key: string, field: string, side: 'declared' | 'observed'): Promise<Json> =>
  api<Json>(`${at(cls, key)}/observations/accept`, { body: { field, side } })

export const correct = (id: string, body: { start: string; end: string | null; state: string; reason: string }): Promise<Json> =>
  api<Json>(`/intervals/${encodeURIComponent(id)}/correct`, { body })
