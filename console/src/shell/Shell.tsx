import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useEffect, useState } from 'react'
import { Menu, Siren, Sunrise, Activity, Search } from 'lucide-react'
import { connect, useEntries } from '../api/live'
import { patchCache } from '../api/patch'
import * as read from '../api/queries'
import type { Entry, Session } from '../api/types'
import { useKeys } from '../lib/keys'
import { nextTheme } from '../lib/settings'
import { Failed } from '../ui/states'
import { ShellProvider } from './context'
import { Drawer } from './Drawer'
import { Offline } from './Offline'
import { Side } from './Side'
import { GO } from './verbs'

const Palette = lazy(() => import('./Palette'))
const Help = lazy(() => import('./Help'))

/** The frame of every page: the left bar (bottom bar on a phone), the palette, the help, and the live stream. */
export function Shell({ session }: { session: Session }) {
  const client = useQueryClient()
  const classes = useQuery(read.classes)
  const navigate = useNavigate()
  const path = useRouterState({ select: (s) => s.location.pathname })
  const [palette, setPalette] = useState<string | null>(null)
  const [help, setHelp] = useState(false)
  const [drawer, setDrawer] = useState(false)
  const openPalette = useCallback((text = '') => setPalette(text), [])
  const openHelp = useCallback(() => setHelp(true), [])

  useEffect(connect, [])
  useEntries(useCallback((entries: Entry[]) => patchCache(client, entries), [client]))
  useEffect(() => setDrawer(false), [path])
  useEffect(() => {
    // When the first page stands, the palette is fetched, so that Ctrl K answers at once.
    const timer = setTimeout(() => void import('./Palette'), 1500)
    return () => clearTimeout(timer)
  }, [])

  const go = (cls: string) => () => {
    if (classes.data?.some((c) => c.name === cls)) void navigate({ to: '/r/$cls', params: { cls }, search: {} })
  }
  useKeys({
    'mod+k': () => (palette === null ? openPalette() : setPalette(null)),
    ':': () => openPalette(),
    '?': openHelp,
    'mod+.': nextTheme,
    'g n': () => void navigate({ to: '/' }),
    'g p': () => void navigate({ to: '/profile' }),
    ...Object.fromEntries(Object.entries(GO).map(([key, cls]) => [`g ${key}`, go(cls)])),
  })

  if (classes.isError) return <Failed error={classes.error} what="The classes" retry={() => void classes.refetch()} />
  if (!classes.data) return <p role="status" className="late p-8 text-center text-fg-3">Loading…</p>
  return (
    <ShellProvider value={{ session, openPalette, openHelp }}>
      <div className="grid h-full grid-cols-1 grid-rows-[minmax(0,1fr)_auto] lg:grid-cols-[220px_minmax(0,1fr)] lg:grid-rows-1">
        <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 btn">
          Skip to content
        </a>
        <aside className="hidden lg:flex flex-col min-h-0 bg-bg" aria-label="Navigation">
          <Side />
        </aside>
        <main id="main" tabIndex={-1} className="min-h-0 min-w-0 bg-surface lg:border-l border-line outline-none flex flex-col">
          <Offline />
          <div className="flex-1 min-h-0">
            <Outlet />
          </div>
        </main>
        <PhoneBar onMore={() => setDrawer(true)} onSearch={() => openPalette()} />
        <Drawer open={drawer} onClose={() => setDrawer(false)} />
        <Suspense>
          {palette !== null && <Palette text={palette} onClose={() => setPalette(null)} />}
          {help && <Help onClose={() => setHelp(false)} />}
        </Suspense>
      </div>
    </ShellProvider>
  )
}

const PHONE_ITEM = 'flex flex-col items-center justify-center gap-0.5 h-14 text-2xs text-fg-2 data-[status=active]:text-accent data-[status=active]:font-medium'

function PhoneBar({ onMore, onSearch }: { onMore: () => void; onSearch: () => void }) {
  return (
    <nav aria-label="Main, phone" className="lg:hidden grid grid-cols-5 bg-bg border-t border-line pb-[env(safe-area-inset-bottom)]">
      <Link to="/" activeOptions={{ exact: true }} className={PHONE_ITEM}>
        <Sunrise size={19} /> Now
      </Link>
      <Link to="/r/$cls" params={{ cls: 'incident' }} search={{}} activeOptions={{ includeSearch: false }} className={PHONE_ITEM}>
        <Siren size={19} /> Incidents
      </Link>
      <Link to="/r/$cls" params={{ cls: 'check' }} search={{}} activeOptions={{ includeSearch: false }} className={PHONE_ITEM}>
        <Activity size={19} /> Checks
      </Link>
      <button type="button" onClick={onSearch} className={PHONE_ITEM}>
        <Search size={19} /> Search
      </button>
      <button type="button" onClick={onMore} className={PHONE_ITEM}>
        <Menu size={19} /> More
      </button>
    </nav>
  )
}
