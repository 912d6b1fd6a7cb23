/** What a list shows: its view, filter, order and columns from the address, its rows from the server, window by window. */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useEntries } from '../api/live'
import * as read from '../api/queries'
import type { ClassDef, Entry, Rec } from '../api/types'
import { listRoute, type ListSearch } from '../router'
import { useMe } from '../shell/context'
import { columnsOf } from './columns'
import { builtinViews, savedViews, type View } from './views'

export function useList(cls: ClassDef) {
  const search = listRoute.useSearch()
  const navigate = useNavigate({ from: '/r/$cls' })
  const me = useMe()
  const saved = useQuery(read.records('saved-view', { filter: `lists:${cls.name}`, limit: 50 }))
  const views = useMemo(() => [...builtinViews(cls, me), ...savedViews(saved.data?.records ?? [], cls, me)], [cls, me, saved.data])

  const filter = search.q ?? views[0]?.query ?? ''
  const view = views.find((v) => v.query === filter && (!search.cols || v.columns?.join() === search.cols)) ?? undefined
  const sort = search.sort ?? view?.sort ?? cls.sort[0] ?? '-updated'
  const chosen = search.cols?.split(',').filter(Boolean) ?? view?.columns
  const columns = columnsOf(cls, chosen)

  const windows = useInfiniteQuery({ ...read.recordWindows(cls.name, { filter, sort }), placeholderData: keepPreviousData })
  const rows = useMemo(() => windows.data?.pages.flatMap((p) => p.records) ?? [], [windows.data])
  const first = windows.data?.pages[0]

  const put = useCallback((change: Partial<ListSearch>, replace = true) => void navigate({ search: (s) => ({ ...s, ...change }), replace }), [navigate])
  const setFilter = useCallback((q: string) => put({ q }), [put])
  const setView = useCallback((v: View) => put({ q: v === views[0] ? undefined : v.query, sort: v.sort, cols: v.columns?.join(',') }, false), [put, views])

  return { search, views, view, filter, sort, columns, chosen, windows, rows, total: first?.total ?? first?.estimate ?? null, slow: first?.slow === true, put, setFilter, setView }
}

/** Records that were made while the list was looked at. They wait, so that nothing jumps under the pointer. */
export function useFresh(cls: string, rows: Rec[], reload: () => void, busy: () => boolean) {
  const [waiting, setWaiting] = useState(0)
  const [changed, setChanged] = useState<Set<string>>(() => new Set())
  const shown = useRef(rows)
  useEffect(() => {
    shown.current = rows
  }, [rows])
  useEntries(
    useCallback(
      (entries: Entry[]) => {
        const mine = entries.filter((e) => e.class === cls)
        if (!mine.length) return
        const made = mine.filter((e) => e.action === 'create' || e.action === 'delete' || !shown.current.some((r) => r.key === e.subject)).length
        setChanged(new Set(mine.map((e) => e.subject)))
        if (!made) return
        if (busy()) setWaiting((n) => n + made)
        else reload()
      },
      [cls, reload, busy],
    ),
  )
  const show = useCallback(() => {
    setWaiting(0)
    reload()
  }, [reload])
  return { waiting, changed, show }
}
