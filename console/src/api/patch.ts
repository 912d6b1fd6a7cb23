/**
 * Writes live entries into the cache: rows are patched in place, nothing jumps. What cannot be known from an entry
 * (whether a new record matches a filter, how counts change) is asked again, at most every few seconds.
 */
import type { InfiniteData, QueryClient } from '@tanstack/react-query'
import { groupBy } from '../lib/group'
import type { Entry, EntryPage, Rec, RecordPage } from './types'

/** The record as it is after the entry. `after` carries only what changed. */
export function applyEntry(record: Rec, entry: Entry): Rec {
  const { state, owner, ...fields } = entry.after
  return {
    ...record,
    ...(typeof state === 'string' ? { state } : {}),
    ...(owner === undefined ? {} : { owner: owner as string | null }),
    fields: { ...record.fields, ...fields },
    updated: entry.time > record.updated ? entry.time : record.updated,
  }
}

function patchRows(page: RecordPage, byKey: Map<string, Entry[]>): RecordPage {
  if (!page.records.some((r) => byKey.has(r.key))) return page
  return { ...page, records: page.records.map((r) => (byKey.get(r.key) ?? []).reduce(applyEntry, r)) }
}

/** Adds entries to a journal in the cache, each once. */
function addEntries(data: InfiniteData<EntryPage> | undefined, entries: Entry[]): InfiniteData<EntryPage> | undefined {
  const first = data?.pages[0]
  if (!data || !first) return data
  const known = new Set(data.pages.flatMap((p) => p.entries.map((e) => e.seq)))
  const fresh = entries.filter((e) => !known.has(e.seq))
  if (!fresh.length) return data
  return { ...data, pages: [{ ...first, entries: [...first.entries, ...fresh] }, ...data.pages.slice(1)] }
}

export function patchCache(client: QueryClient, entries: Entry[]): void {
  const byKey = groupBy(entries, (e) => e.subject)
  for (const cls of new Set(entries.map((e) => e.class))) {
    client.setQueriesData<InfiniteData<RecordPage>>({ queryKey: ['records', cls, 'windows'] }, (data) =>
      data ? { ...data, pages: data.pages.map((p) => patchRows(p, byKey)) } : data,
    )
    client.setQueriesData<RecordPage>({ queryKey: ['records', cls, 'page'] }, (data) => (data ? patchRows(data, byKey) : data))
    askAgainSoon(client, cls)
  }
  for (const [key, about] of byKey) {
    client.setQueriesData<InfiniteData<EntryPage>>({ queryKey: ['journal', key] }, (data) => addEntries(data, about))
    void client.invalidateQueries({ queryKey: ['journal-tail', key] })
    const cls = about[0]?.class
    void client.invalidateQueries({ queryKey: ['record', cls, key] })
    void client.invalidateQueries({ queryKey: ['intervals', key] })
  }
}

const due = new Map<string, ReturnType<typeof setTimeout>>()
const AGAIN_MS = 2500

/** Short lists (Now, tabs' counts) are asked again together, once for all changes of a few seconds. */
function askAgainSoon(client: QueryClient, cls: string): void {
  if (due.has(cls)) return
  due.set(
    cls,
    setTimeout(() => {
      due.delete(cls)
      void client.invalidateQueries({ queryKey: ['records', cls, 'page'] })
      void client.invalidateQueries({ queryKey: ['records', cls, 'counts'] })
    }, AGAIN_MS),
  )
}
