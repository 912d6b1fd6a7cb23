import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { CornerDownLeft, Monitor, Plus, Search, Sunrise, UserRound, Wrench } from 'lucide-react'
import { useDeferredValue, useState, type KeyboardEvent, type ReactNode } from 'react'
import * as read from '../api/queries'
import { nextTheme } from '../lib/settings'
import { healthOf } from '../lib/values'
import { Keys } from '../ui/atoms'
import { Modal } from '../ui/Modal'
import { HealthSign, LIVING, stateName } from '../ui/signs'
import { ClassIcon } from './ClassIcon'
import { useClasses } from './context'
import { goKey } from './verbs'

interface Item {
  id: string
  group: string
  label: string
  hint?: string
  keys?: string
  icon: ReactNode
  run: () => void
}

const MOST = 9

/** Search and commands: records by the server's search, classes by name, acts by their words. */
export default function Palette({ text: first, onClose }: { text: string; onClose: () => void }) {
  const [text, setText] = useState(first)
  const [at, setAt] = useState(0)
  const items = useItems(text, onClose)
  const chosen = Math.max(0, Math.min(at, items.length - 1))

  function onKey(event: KeyboardEvent): void {
    const down = event.key === 'ArrowDown' || (event.ctrlKey && event.key === 'n')
    const up = event.key === 'ArrowUp' || (event.ctrlKey && event.key === 'p')
    if (down || up) {
      event.preventDefault()
      setAt(Math.max(0, Math.min(items.length - 1, chosen + (down ? 1 : -1))))
    } else if (event.key === 'Enter') {
      event.preventDefault()
      items[chosen]?.run()
    }
  }

  return (
    <Modal open onClose={onClose} title="Search and commands" width={640} bare>
      <div className="flex items-center gap-2.5 px-3.5 h-12 border-b border-line shrink-0">
        <Search size={16} className="text-fg-3" />
        <input
          autoFocus
          role="combobox"
          aria-expanded
          aria-controls="palette-results"
          aria-activedescendant={items[chosen] ? `palette-${chosen}` : undefined}
          aria-label="Search or run a command"
          value={text}
          onChange={(e) => {
            setText(e.target.value)
            setAt(0)
          }}
          onKeyDown={onKey}
          placeholder="Search records, pages and commands"
          className="flex-1 min-w-0 bg-transparent outline-none text-md"
        />
        <Keys k="escape" />
      </div>
      <div id="palette-results" role="listbox" aria-label="Results" className="scroll max-h-[min(440px,56vh)] p-1.5">
        {items.map((item, i) => (
          <div key={item.id} role="presentation">
            {item.group !== items[i - 1]?.group && (
              <div role="presentation" className="label px-2.5 pt-2 pb-1">
                {item.group}
              </div>
            )}
            <Option item={item} n={i} chosen={i === chosen} onPoint={() => setAt(i)} />
          </div>
        ))}
        {!items.length && <p className="px-3 py-8 text-center text-fg-3">Nothing matches “{text}”. Try a number, a host or the name of a page.</p>}
      </div>
      <div className="flex items-center gap-4 h-8 px-3.5 border-t border-line text-2xs text-fg-3 shrink-0">
        <span className="inline-flex items-center gap-1">
          <CornerDownLeft size={11} /> open
        </span>
        <span>↑↓ move</span>
        <span className="ml-auto num" role="status">
          {items.length} results
        </span>
      </div>
    </Modal>
  )
}

function Option({ item, n, chosen, onPoint }: { item: Item; n: number; chosen: boolean; onPoint: () => void }) {
  return (
    // Keys are the input's: it owns the focus and names this option by aria-activedescendant.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
    <div
      id={`palette-${n}`}
      role="option"
      aria-selected={chosen}
      onPointerMove={onPoint}
      onClick={item.run}
      ref={(el) => {
        if (el && chosen) el.scrollIntoView({ block: 'nearest' })
      }}
      className={`flex items-center gap-2.5 h-9 px-2.5 rounded max-lg:h-11 ${chosen ? 'bg-accent-soft' : ''}`}
    >
      <span className="w-4 flex justify-center text-fg-3 shrink-0">{item.icon}</span>
      <span className="truncate">{item.label}</span>
      {item.hint && <span className="ml-auto text-xs text-fg-3 truncate shrink-0 max-w-[45%]">{item.hint}</span>}
      {item.keys && (
        <span className={item.hint ? '' : 'ml-auto'}>
          <Keys k={item.keys} />
        </span>
      )}
    </div>
  )
}

function useItems(text: string, close: () => void): Item[] {
  const navigate = useNavigate()
  const classes = useClasses()
  const words = useDeferredValue(text.trim())
  const lower = words.toLowerCase()
  const hits = useQuery({ ...read.search(words), placeholderData: keepPreviousData })
  const matches = (label: string): boolean => !lower || label.toLowerCase().includes(lower)
  const then = (act: () => void) => () => {
    act()
    close()
  }
  const out: Item[] = []

  if (words.length > 1) {
    // The index answers newest first; whoever types a name in full means that one.
    const named = (hit: { key: string; title: string }): number => [hit.key, hit.title].filter((name) => name.toLowerCase() === lower).length
    for (const hit of (hits.data ?? []).toSorted((a, b) => named(b) - named(a))) {
      const health = healthOf(hit)
      const cls = classes.get(hit.class)
      out.push({
        id: `hit-${hit.class}-${hit.key}`,
        group: 'Records',
        label: hit.title,
        hint: [hit.key === hit.title ? (cls?.title ?? hit.class) : hit.key, LIVING.test(hit.state) ? '' : stateName(hit.state)].filter(Boolean).join(' · '),
        icon: health ? <HealthSign health={health} /> : cls ? <ClassIcon cls={cls} /> : <Search size={15} />,
        run: then(() => void navigate({ to: '/r/$cls/$key', params: { cls: hit.class, key: hit.key }, search: {} })),
      })
    }
  }
  if (matches('Now')) out.push({ id: 'now', group: 'Go to', label: 'Now', keys: 'g n', icon: <Sunrise size={15} />, run: then(() => void navigate({ to: '/' })) })
  const pages = [...classes.values()].filter((c) => matches(c.plural) || matches(c.title))
  for (const cls of pages.slice(0, lower ? MOST : 6)) {
    const key = goKey(cls.name)
    out.push({ id: `go-${cls.name}`, group: 'Go to', label: cls.plural, keys: key && `g ${key}`, icon: <ClassIcon cls={cls} />, run: then(() => void navigate({ to: '/r/$cls', params: { cls: cls.name }, search: {} })) })
  }
  const acts: [label: string, keys: string | undefined, icon: ReactNode, run: () => void][] = [
    ['Profile and settings', 'g p', <UserRound size={15} key="p" />, () => void navigate({ to: '/profile' })],
    ['Change the theme', 'mod+.', <Monitor size={15} key="t" />, nextTheme],
    ['What nobody measures: unknown checks', undefined, <Wrench size={15} key="u" />, () => void navigate({ to: '/r/$cls', params: { cls: 'check' }, search: { q: 'state:UNKNOWN' } })],
  ]
  for (const [label, keys, icon, run] of acts) if (matches(label)) out.push({ id: label, group: 'Do', label, keys, icon, run: then(run) })
  for (const cls of lower ? pages.slice(0, 3) : [...classes.values()].filter((c) => c.name === 'incident')) {
    out.push({ id: `new-${cls.name}`, group: 'Do', label: `New ${cls.title.toLowerCase()}`, icon: <Plus size={15} />, run: then(() => void navigate({ to: '/r/$cls', params: { cls: cls.name }, search: {}, hash: 'new' })) })
  }
  return out
}
