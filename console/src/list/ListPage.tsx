import { useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { Plus } from 'lucide-react'
import { useCallback, useEffect, useRef, useState } from 'react'
import type { ClassDef, Rec } from '../api/types'
import { useKeys } from '../lib/keys'
import { useIsPhone } from '../lib/media'
import { useSettings } from '../lib/settings'
import { useNow } from '../lib/time'
import { plural } from '../lib/values'
import { take } from '../record/act'
import { listRoute } from '../router'
import { useClasses, useMe } from '../shell/context'
import { Kbd } from '../ui/atoms'
import { Page } from '../ui/Page'
import { Empty, Failed, Skeleton } from '../ui/states'
import { failed } from '../ui/toast'
import { BulkBar } from './BulkBar'
import { CreateDialog } from './CreateDialog'
import { Facet, facetsOf } from './Facet'
import { FilterBar } from './FilterBar'
import { Grid } from './Grid'
import { ListMenu } from './ListMenu'
import { Peek } from './Peek'
import { SaveView } from './SaveView'
import { Tabs } from './Tabs'
import { useFresh, useList } from './useList'

const PAGE_STEP = 15
const ROW = { compact: 34, comfortable: 40, phone: 64 }

export default function ListPage() {
  const { cls: name } = listRoute.useParams()
  const classes = useClasses()
  const cls = classes.get(name)
  if (!cls) return <Empty page title={`There is no class “${name}”`} text="Press Ctrl K to look for another." />
  return <List key={name} cls={cls} />
}

function List({ cls }: { cls: ClassDef }) {
  const list = useList(cls)
  const { rows, windows, search, put } = list
  const client = useQueryClient()
  const navigate = useNavigate()
  const me = useMe()
  const now = useNow(30_000)
  const phone = useIsPhone()
  const { density } = useSettings()
  const hash = useLocation({ select: (l) => l.hash })
  const [at, setAt] = useState(0)
  const [selected, setSelected] = useState<Set<string>>(() => new Set())
  const [creating, setCreating] = useState(false)
  const [saving, setSaving] = useState(false)
  const scroller = useRef<HTMLDivElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const input = useRef<HTMLInputElement>(null)
  const rowHeight = phone ? ROW.phone : ROW[density]
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => rowHeight, overscan: 8, scrollMargin: 0, getItemKey: (i) => rows[i]?.key ?? i })

  const busy = useCallback(() => frame.current?.matches(':hover') === true || frame.current?.contains(document.activeElement) === true, [])
  const { refetch } = windows
  const reload = useCallback(() => void refetch(), [refetch])
  const fresh = useFresh(cls.name, rows, reload, busy)

  useEffect(() => virtual.measure(), [rowHeight, virtual])
  useEffect(() => {
    setAt(0)
    setSelected(new Set())
    scroller.current?.scrollTo(0, 0)
  }, [list.filter, list.sort])
  useEffect(() => {
    if (hash === 'new') setCreating(true)
  }, [hash])
  // The next window is fetched before the last one ends.
  const lastShown = virtual.getVirtualItems().at(-1)?.index ?? 0
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = windows
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && lastShown > rows.length - 60) void fetchNextPage()
  }, [lastShown, rows.length, hasNextPage, isFetchingNextPage, fetchNextPage])

  const current = Math.max(0, Math.min(at, rows.length - 1))
  const record = rows[current]
  const chosen = rows.filter((r) => selected.has(r.key))

  const open = useCallback((r: Rec) => void navigate({ to: '/r/$cls/$key', params: { cls: r.class, key: r.key }, search: {} }), [navigate])
  const toggle = useCallback((key: string) => setSelected((s) => (s.has(key) ? new Set([...s].filter((k) => k !== key)) : new Set([...s, key]))), [])

  function move(by: number): void {
    const next = Math.max(0, Math.min(rows.length - 1, current + by))
    setAt(next)
    virtual.scrollToIndex(next, { align: 'auto' })
    if (search.peek && rows[next]) put({ peek: rows[next].key })
  }

  async function takeAll(): Promise<void> {
    const all = chosen.length ? chosen : record ? [record] : []
    for (const r of all) {
      try {
        await take(client, r, cls.transitions, me)
      } catch (error) {
        failed(`${r.key} was not taken`, error)
      }
    }
    setSelected(new Set())
  }

  function back(): void {
    if (selected.size) setSelected(new Set())
    else if (search.peek) put({ peek: undefined })
    else if (list.view !== list.views[0]) put({ q: undefined, sort: undefined, cols: undefined })
  }

  useKeys({
    j: () => move(1),
    k: () => move(-1),
    arrowdown: () => move(1),
    arrowup: () => move(-1),
    'mod+d': () => move(PAGE_STEP),
    'mod+u': () => move(-PAGE_STEP),
    'g g': () => move(-Infinity),
    G: () => move(Infinity),
    enter: () => record && open(record),
    o: () => record && open(record),
    space: () => record && put({ peek: search.peek === record.key ? undefined : record.key }),
    x: () => {
      if (!record) return
      toggle(record.key)
      move(1)
    },
    a: () => void takeAll(),
    c: () => setCreating(true),
    '/': () => input.current?.focus(),
    escape: back,
    ...Object.fromEntries(list.views.slice(0, 9).map((v, i) => [String(i + 1), () => list.setView(v)])),
  })

  const instead = windows.isPending ? (
    <Skeleton rows={14} height={rowHeight} label={`Loading ${cls.plural.toLowerCase()}`} />
  ) : windows.isError && !rows.length ? (
    <Failed error={windows.error} what={cls.plural} retry={reload} />
  ) : rows.length ? null : (
    <Nothing cls={cls} filter={list.filter} onClear={() => list.setFilter('')} onCreate={() => setCreating(true)} />
  )
  const total = list.total === null ? plural(rows.length, 'row') + ' or more' : plural(list.total, cls.title.toLowerCase(), cls.plural.toLowerCase())

  return (
    <Page
      flush
      title={cls.plural}
      sub={cls.help}
      actions={
        <>
          <ListMenu cls={cls} columns={list.columns.map((c) => c.name)} filter={list.filter} sort={list.sort} onColumns={(names) => put({ cols: names?.join(',') })} />
          <button type="button" className="btn btn-primary" onClick={() => setCreating(true)}>
            <Plus size={14} />
            <span className="max-sm:sr-only">{cls.name === 'incident' ? 'Declare' : `New ${cls.title.toLowerCase()}`}</span>
          </button>
        </>
      }
    >
      <div className="flex flex-col h-full">
        <Tabs cls={cls.name} views={list.views} current={list.view} onView={list.setView} onSave={() => setSaving(true)} />
        <div className="flex items-start gap-2 px-4 pb-2 shrink-0">
          <FilterBar cls={cls} text={list.filter} onText={list.setFilter} input={input} error={windows.error} />
          {facetsOf(cls).map((f) => (
            <Facet key={f.name} cls={cls} name={f.name} title={f.title} filter={list.filter} onFilter={list.setFilter} />
          ))}
        </div>
        <div className="flex-1 min-h-0 flex">
          <div ref={frame} className="flex-1 min-w-0 flex flex-col relative">
            {fresh.waiting > 0 && (
              <button type="button" className="btn absolute z-20 top-9 left-1/2 -translate-x-1/2 shadow-pop" onClick={fresh.show}>
                {fresh.waiting} new, show
              </button>
            )}
            <Grid
              cls={cls}
              rows={rows}
              total={list.total}
              columns={list.columns}
              sort={list.sort}
              onSort={(sort) => put({ sort })}
              virtual={virtual}
              scroller={scroller}
              at={current}
              selected={selected}
              changed={fresh.changed}
              now={now}
              phone={phone}
              rowHeight={rowHeight}
              onOpen={open}
              onToggle={toggle}
              onToggleAll={() => setSelected((s) => (s.size >= rows.length ? new Set() : new Set(rows.map((r) => r.key))))}
              onPoint={setAt}
              instead={instead}
            />
            {selected.size > 0 ? <BulkBar cls={cls} selected={chosen} onClear={() => setSelected(new Set())} onTake={() => void takeAll()} /> : <Foot total={total} loading={windows.isFetching} slow={list.slow} />}
          </div>
          {search.peek && <Peek cls={cls} recordKey={search.peek} now={now} onClose={() => put({ peek: undefined })} />}
        </div>
      </div>
      {creating && <CreateDialog cls={cls} onClose={() => setCreating(false)} />}
      {saving && <SaveView cls={cls.name} query={list.filter} sort={search.sort} columns={list.chosen} onClose={() => setSaving(false)} />}
    </Page>
  )
}

function Nothing({ cls, filter, onClear, onCreate }: { cls: ClassDef; filter: string; onClear: () => void; onCreate: () => void }) {
  if (filter) {
    return (
      <Empty
        title={/^-state:OK$|^health:down/.test(filter) ? 'All well' : `No ${cls.title.toLowerCase()} matches`}
        text={
          <>
            The filter is <code className="font-mono text-xs">{filter}</code>.
          </>
        }
        action={
          <button type="button" className="btn" onClick={onClear}>
            Show everything
          </button>
        }
      />
    )
  }
  return (
    <Empty
      title={`No ${cls.plural.toLowerCase()} yet`}
      text={cls.help}
      action={
        <button type="button" className="btn btn-primary" onClick={onCreate}>
          <Plus size={14} /> New {cls.title.toLowerCase()}
        </button>
      }
    />
  )
}

function Foot({ total, loading, slow }: { total: string; loading: boolean; slow: boolean }) {
  return (
    <div className="flex items-center gap-4 h-7 px-4 border-t border-line text-2xs text-fg-3 shrink-0 max-lg:hidden">
      <span className="num" role="status">
        {total}
        {loading ? ', loading…' : ''}
        {slow ? '. This filter uses a field without an index and was slow.' : ''}
      </span>
      <span className="ml-auto flex items-center gap-3">
        <span>
          <Kbd>j</Kbd> <Kbd>k</Kbd> move
        </span>
        <span>
          <Kbd>Space</Kbd> peek
        </span>
        <span>
          <Kbd>↵</Kbd> open
        </span>
        <span>
          <Kbd>x</Kbd> select
        </span>
        <span>
          <Kbd>a</Kbd> take
        </span>
      </span>
    </div>
  )
}
