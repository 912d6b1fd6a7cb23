import { Popover } from '@base-ui/react/popover'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import * as read from '../api/queries'
import type { ClassDef } from '../api/types'
import { and, asked, parse, toggle } from '../lib/filter'
import { Priority, State } from '../ui/signs'

const MOST = 20

/** The filter without what this facet asks, so that its other values keep their counts. */
function without(text: string, name: string): string {
  const term = parse(text).find((t) => t.name === name && !t.negated && !t.compare)
  return term ? and(text.slice(0, term.start).trim(), text.slice(term.end).trim()) : text
}

/** Ticks write the filter text and nothing else. Values and counts come from the server, the 20 most frequent. */
export function Facet({ cls, name, title, filter, onFilter }: { cls: ClassDef; name: string; title: string; filter: string; onFilter: (text: string) => void }) {
  const [open, setOpen] = useState(false)
  const on = asked(filter, name).filter((v) => v !== 'open' && v !== '')
  const { data, isPending } = useQuery({ ...read.counts(cls.name, name, without(filter, name)), enabled: open })
  const isOpen = (state: string): boolean => cls.states.find((s) => s.name === state)?.open ?? true
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className={`btn h-8 max-md:hidden ${on.length ? 'border-accent-line bg-accent-soft' : ''}`}>
        {title}
        {on.length > 0 && <span className="num text-accent">{on.length}</span>}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={4} align="end" className="z-50">
          <Popover.Popup className="rise popup w-[236px] max-h-[360px] scroll p-1" aria-label={title}>
            {isPending && <p className="px-2 py-2 text-fg-3 late">Counting…</p>}
            {data?.counts.slice(0, MOST).map(({ value, count }) => (
              <label key={value ?? ''} className="flex items-center gap-2 min-h-8 px-2 rounded hover:bg-hover">
                <input type="checkbox" className="accent-[var(--accent)]" checked={on.includes(value ?? 'none')} onChange={() => onFilter(toggle(filter, name, value ?? 'none'))} />
                <span className="min-w-0 truncate">{value === null ? <span className="text-fg-3">none</span> : name === 'state' ? <State cls={cls} state={value} open={isOpen(value)} /> : name === 'priority' ? <Priority n={Number(value)} label /> : value}</span>
                <span className="ml-auto num text-xs text-fg-3">{count.toLocaleString('en')}</span>
              </label>
            ))}
            {data && !data.counts.length && <p className="px-2 py-2 text-fg-3">Nothing to choose from</p>}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  )
}

/** Facets are few and fixed by the class: its state, then its first named values. */
export function facetsOf(cls: ClassDef): { name: string; title: string }[] {
  const fields = cls.fields.filter((f) => (f.type === 'enum' && f.indexed) || f.name === 'priority')
  const more = cls.fields.filter((f) => f.type === 'enum' && !f.indexed)
  return [...(cls.states.length > 1 ? [{ name: 'state', title: 'State' }] : []), ...[...fields, ...more].slice(0, 2).map((f) => ({ name: f.name, title: f.title }))]
}
