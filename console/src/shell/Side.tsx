import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import { ChevronRight, Keyboard, Monitor, Moon, Search, Sun, Sunrise } from 'lucide-react'
import { useState } from 'react'
import { useConnection, type Connection } from '../api/live'
import * as read from '../api/queries'
import type { ClassDef, Verb } from '../api/types'
import { nextTheme, useSettings } from '../lib/settings'
import { Avatar, IconButton, Kbd, Mark } from '../ui/atoms'
import { ClassIcon } from './ClassIcon'
import { useClasses, useShell } from './context'
import { UserMenu } from './UserMenu'
import { classesOf, goKey, openVerbs, VERBS } from './verbs'

const CONNECTION: Record<Connection, string> = { connecting: 'Connecting…', live: 'Live', reconnecting: 'Reconnecting…', offline: 'Offline' }
const ROW = 'flex items-center gap-2.5 h-[30px] px-2 rounded text-fg-2 hover:bg-hover hover:text-fg max-lg:h-11'
const ACTIVE = 'data-[status=active]:bg-accent-soft data-[status=active]:text-fg data-[status=active]:font-medium'

export function Side({ inDrawer = false }: { inDrawer?: boolean }) {
  const { session, openPalette, openHelp } = useShell()
  const classes = useClasses()
  const { cls } = useParams({ strict: false })
  const [toggled, setToggled] = useState<Verb[]>([])
  const stand = openVerbs(session.roles)
  const order = [...stand, ...VERBS.map((v) => v.verb).filter((v) => !stand.includes(v))]
  const { theme } = useSettings()

  return (
    <>
      <div className="flex items-center gap-2 h-12 px-3 shrink-0">
        <Mark />
        <span className="min-w-0">
          <span className="block font-semibold leading-4 truncate">Mainstay</span>
          <span className="block text-2xs leading-3.5 text-fg-3 truncate">{session.tenant}</span>
        </span>
      </div>
      <div className="px-2 pb-2 shrink-0">
        <button type="button" onClick={() => openPalette()} className="w-full flex items-center gap-2 h-8 px-2 rounded border border-line-2 bg-surface text-fg-3 hover:text-fg max-lg:h-11">
          <Search size={14} /> Search
          <span className="ml-auto max-lg:hidden">
            <Kbd>Ctrl K</Kbd>
          </span>
        </button>
      </div>
      <nav aria-label={inDrawer ? 'Main, drawer' : 'Main'} className="scroll flex-1 min-h-0 px-2 pb-3">
        <ul>
          <li>
            <Link to="/" activeOptions={{ exact: true }} className={`${ROW} ${ACTIVE}`}>
              <Sunrise size={15} className="shrink-0" /> Now
            </Link>
          </li>
        </ul>
        {order.map((verb) => {
          const { pinned, rest } = classesOf(verb, classes.values())
          const open = stand.includes(verb) !== toggled.includes(verb)
          return pinned.length ? (
            <VerbGroup key={verb} verb={verb} pinned={pinned} rest={rest} open={open} current={cls} onToggle={() => setToggled((t) => (t.includes(verb) ? t.filter((v) => v !== verb) : [...t, verb]))} />
          ) : null
        })}
      </nav>
      <div className="flex items-center gap-1 min-h-12 pl-3 pr-2 border-t border-line shrink-0">
        <UserMenu>
          <Avatar id={session.person.key} name={session.person.title} size={22} />
          <span className="min-w-0 flex-1 text-left">
            <span className="block text-xs font-medium truncate leading-4">{session.person.title}</span>
            <LiveState />
          </span>
        </UserMenu>
        <IconButton label="Keyboard shortcuts (?)" onClick={openHelp} className="max-lg:hidden">
          <Keyboard size={15} />
        </IconButton>
        <IconButton label={`Theme: ${theme} (Ctrl .)`} onClick={nextTheme}>
          {theme === 'light' ? <Sun size={15} /> : theme === 'dark' ? <Moon size={15} /> : <Monitor size={15} />}
        </IconButton>
      </div>
    </>
  )
}

function LiveState() {
  const connection = useConnection()
  return (
    <span role="status" className="flex items-center gap-1 text-2xs text-fg-3 leading-3.5">
      <span aria-hidden className={`size-1.5 rounded-full ${connection === 'live' ? 'bg-ok' : connection === 'offline' ? 'bg-crit' : 'bg-warn'}`} />
      {CONNECTION[connection]}
    </span>
  )
}

function VerbGroup({ verb, pinned, rest, open, current, onToggle }: { verb: Verb; pinned: ClassDef[]; rest: ClassDef[]; open: boolean; current?: string; onToggle: () => void }) {
  const info = VERBS.find((v) => v.verb === verb)!
  const [more, setMore] = useState(false)
  // The class on screen is always visible in the bar, pinned or not.
  const shown = more ? [...pinned, ...rest] : [...pinned, ...rest.filter((c) => c.name === current)]
  return (
    <div className={open ? 'mt-3 mb-2' : 'mt-0.5'}>
      <button type="button" aria-expanded={open} onClick={onToggle} className="group flex items-center w-full h-6 max-lg:h-10 px-2 rounded text-2xs font-medium text-fg-3 hover:text-fg">
        {info.title}
        {!open && <span className="ml-1.5 font-normal opacity-0 group-hover:opacity-100 truncate">{info.question}</span>}
        <ChevronRight size={12} className={`ml-auto transition-transform ${open ? 'rotate-90 opacity-0 group-hover:opacity-100' : ''}`} />
      </button>
      {open && (
        <ul>
          {shown.map((c) => (
            <ClassRow key={c.name} cls={c} />
          ))}
          {rest.length > 0 && (
            <li>
              <button type="button" aria-expanded={more} onClick={() => setMore(!more)} className={`${ROW} w-full text-fg-3 text-xs`}>
                <span className="w-[15px]" /> {more ? 'Less' : `${rest.length} more`}
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  )
}

function ClassRow({ cls }: { cls: ClassDef }) {
  const key = goKey(cls.name)
  return (
    <li>
      <Link to="/r/$cls" params={{ cls: cls.name }} search={{}} activeOptions={{ includeSearch: false }} title={cls.help + (key ? ` (g ${key})` : '')} className={`${ROW} ${ACTIVE}`}>
        <ClassIcon cls={cls} />
        <span className="truncate">{cls.plural}</span>
        {cls.name === 'incident' && <OpenIncidents />}
      </Link>
    </li>
  )
}

/** Only incidents carry a number: a badge without an act behind it is noise. */
function OpenIncidents() {
  const { data } = useQuery(read.counts('incident', 'state', 'state:open'))
  const n = data?.counts.reduce((sum, c) => sum + c.count, 0) ?? 0
  if (!n) return null
  return (
    <span className="ml-auto text-2xs num font-semibold text-high">
      {n}
      <span className="sr-only"> open</span>
    </span>
  )
}
