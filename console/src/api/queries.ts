/** What is read, and under which cache key. Live entries (live.ts) write into the same keys. */
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { api, at, query } from './http'
import type { ClassDef, Counts, EntryPage, Graph, Hit, Interval, Observations, Rec, RecordPage, Session, Token, SeriesPoints } from './types'

export interface ListAsk {
  filter?: string
  sort?: string
  limit?: number
  fields?: string
}

/** Rows fetched at once while scrolling. */
export const WINDOW = 200

export const session = queryOptions({
  queryKey: ['session'],
  queryFn: ({ signal }) => api<Session>('/session', { signal }),
  staleTime: 60_000,
  retry: false,
})

export const bootstrap = queryOptions({
  queryKey: ['bootstrap'],
  queryFn: ({ signal }) => api<{ open: boolean }>('/bootstrap', { signal }),
  retry: false,
})

export const classes = queryOptions({
  queryKey: ['classes'],
  queryFn: async ({ signal }) => (await api<{ classes: ClassDef[] }>('/classes', { signal })).classes,
  staleTime: 5 * 60_000,
})

export const records = (cls: string, ask: ListAsk = {}) =>
  queryOptions({
    queryKey: ['records', cls, 'page', ask],
    queryFn: ({ signal }) => api<RecordPage>(at(cls) + query({ limit: 50, ...ask }), { signal }),
  })

export const recordWindows = (cls: string, ask: ListAsk) =>
  infiniteQueryOptions({
    queryKey: ['records', cls, 'windows', ask],
    queryFn: ({ signal, pageParam }) => api<RecordPage>(at(cls) + query({ ...ask, limit: WINDOW, cursor: pageParam }), { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
  })

export const counts = (cls: string, by: string, filter?: string) =>
  queryOptions({
    queryKey: ['records', cls, 'counts', by, filter ?? ''],
    queryFn: async ({ signal }) => {
      const answer = await api<Counts>(`${at(cls)}/counts${query({ by, filter })}`, { signal })
      // Values of number fields come as numbers; filters and facets speak text.
      return { ...answer, counts: answer.counts.map((c) => ({ ...c, value: c.value === null ? null : String(c.value) })) }
    },
  })

export const record = (cls: string, key: string) =>
  queryOptions({
    queryKey: ['record', cls, key],
    queryFn: ({ signal }) => api<Rec>(at(cls, key), { signal }),
  })

export const journalOf = (cls: string, key: string) =>
  infiniteQueryOptions({
    queryKey: ['journal', key, cls],
    queryFn: ({ signal, pageParam }) => api<EntryPage>(`${at(cls, key)}/journal${query({ limit: 100, before: pageParam })}`, { signal }),
    initialPageParam: null as number | null,
    // The page reaches back; older entries stand before its smallest number.
    getNextPageParam: (last) => (last.entries.length < 100 ? null : Math.min(...last.entries.map((e) => e.seq))),
  })

/** The last entries about a record, without paging: what is woven into another record's story. */
export const journalTail = (cls: string, key: string) =>
  queryOptions({
    queryKey: ['journal-tail', key, cls],
    queryFn: async ({ signal }) => (await api<EntryPage>(`${at(cls, key)}/journal?limit=30`, { signal })).entries,
  })

export const entryAt = (seq: number) =>
  queryOptions({
    queryKey: ['entry', seq],
    queryFn: async ({ signal }) => (await api<EntryPage>(`/journal${query({ since: seq - 1, limit: 1 })}`, { signal })).entries.find((e) => e.seq === seq) ?? null,
    staleTime: Infinity, // An entry is never changed.
  })

export const intervals = (cls: string, key: string) =>
  queryOptions({
    queryKey: ['intervals', key, cls],
    queryFn: async ({ signal }) => (await api<{ intervals: Interval[] }>(`${at(cls, key)}/intervals`, { signal })).intervals,
  })

export const observations = (cls: string, key: string, ask: { table?: string; q?: string; limit?: number } = {}) =>
  queryOptions({
    queryKey: ['observations', key, cls, ask],
    queryFn: ({ signal }) => api<Observations>(`${at(cls, key)}/observations${query(ask)}`, { signal }),
  })

/** Points of a check's series, or of all checks on a record: about two a pixel. Times in Unix milliseconds. */
export const seriesRange = (about: { check?: string; on?: string }, from: number, to: number) =>
  queryOptions({
    queryKey: ['series', about, from, to],
    queryFn: async ({ signal }) => (await api<{ series: SeriesPoints[] }>(`/series/range${query({ ...about, from: new Date(from).toISOString(), to: new Date(to).toISOString(), points: 600 })}`, { signal })).series,
  })

export const graph = (cls: string, key: string, direction: 'up' | 'down' | 'both', depth: number, types = '') =>
  queryOptions({
    queryKey: ['graph', key, cls, direction, depth, types],
    queryFn: ({ signal }) => api<Graph>(`${at(cls, key)}/graph${query({ direction, depth, types })}`, { signal }),
  })

export const search = (q: string, limit = 12) =>
  queryOptions({
    queryKey: ['search', q, limit],
    queryFn: async ({ signal }) => (await api<{ hits: Hit[] }>(`/search${query({ q, limit })}`, { signal })).hits,
    enabled: q.length > 1,
    staleTime: 5_000,
  })

export const tokens = queryOptions({
  queryKey: ['tokens'],
  queryFn: async ({ signal }) => (await api<{ tokens: Token[] }>('/tokens', { signal })).tokens,
})
