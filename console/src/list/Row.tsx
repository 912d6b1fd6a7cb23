import { Link } from '@tanstack/react-router'
import { memo } from 'react'
import type { ClassDef, Rec } from '../api/types'
import { healthOf, valueOf } from '../lib/values'
import { HealthSign, Priority, State } from '../ui/signs'
import { Time } from '../ui/Time'
import { Cell, Owner } from './Cell'
import type { Column } from './columns'

export interface RowProps {
  record: Rec
  cls: ClassDef
  columns: Column[]
  template: string
  /** Which column carries the link. */
  nameIn: string
  index: number
  top: number
  height: number
  active: boolean
  selected: boolean
  /** Changed while it was on the screen. */
  changed: boolean
  now: number
  phone: boolean
  onOpen: (r: Rec) => void
  onToggle: (key: string) => void
  onPoint: (index: number) => void
}

const ground = (active: boolean, selected: boolean): string =>
  active ? 'bg-hover shadow-[inset_2px_0_0_var(--accent)]' : selected ? 'bg-accent-soft' : 'hover:bg-hover'

/** One row. Memoised by hand: while scrolling, only rows that come into view are drawn. */
export const Row = memo(function Row(p: RowProps) {
  const style = { transform: `translateY(${p.top}px)`, height: p.height }
  const base = `absolute inset-x-0 top-0 border-b border-line-soft ${ground(p.active, p.selected)} ${p.changed ? 'flash' : ''}`
  if (p.phone) return <PhoneRow {...p} style={style} base={base} />
  return (
    // Keys belong to the grid, which owns the focus (aria-activedescendant).
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <div id={`row-${p.record.key}`} role="row" tabIndex={-1} aria-rowindex={p.index + 2} aria-selected={p.selected} style={{ ...style, gridTemplateColumns: p.template }} className={`${base} grid items-center gap-x-3 px-3 outline-none`} onClick={() => p.onPoint(p.index)} onDoubleClick={() => p.onOpen(p.record)}>
      <span role="gridcell" className="flex">
        <input type="checkbox" tabIndex={-1} checked={p.selected} onChange={() => p.onToggle(p.record.key)} aria-label={`Select ${p.record.key}`} className="accent-[var(--accent)]" />
      </span>
      {p.columns.map((c) => (
        <span key={c.name} role="gridcell" className={`flex min-w-0 ${c.right ? 'justify-end' : ''}`}>
          {c.name === p.nameIn ? <Name record={p.record} column={c.name} /> : <Cell record={p.record} column={c} cls={p.cls} now={p.now} />}
        </span>
      ))}
    </div>
  )
})

function Name({ record, column }: { record: Rec; column: string }) {
  const text = column === 'key' ? record.key : String(valueOf(record, column) ?? record.key)
  return (
    <Link to="/r/$cls/$key" params={{ cls: record.class, key: record.key }} search={{}} tabIndex={-1} className={`truncate hover:underline decoration-line-2 underline-offset-4 ${record.open ? 'font-medium' : 'text-fg-2'}`}>
      {text || record.key}
    </Link>
  )
}

function PhoneRow({ record, cls, index, style, base, onOpen, now }: RowProps & { style: object; base: string }) {
  const priority = record.fields.priority
  const health = healthOf(record)
  return (
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <div id={`row-${record.key}`} role="row" tabIndex={-1} aria-rowindex={index + 2} style={style} className={`${base} px-3 flex flex-col justify-center gap-1 outline-none`} onClick={() => onOpen(record)}>
      <div role="gridcell" className="flex items-center gap-2 min-w-0">
        {typeof priority === 'number' && <Priority n={priority} quiet={!record.open} />}
        {health && <HealthSign health={health} />}
        <Link to="/r/$cls/$key" params={{ cls: record.class, key: record.key }} search={{}} className={`truncate ${record.open ? 'font-medium' : 'text-fg-2'}`} onClick={(e) => e.stopPropagation()}>
          {record.title}
        </Link>
        <span className="ml-auto">
          <Owner owner={record.owner} />
        </span>
      </div>
      <div role="gridcell" className="flex items-center gap-2 text-xs text-fg-3 min-w-0">
        <State cls={cls} state={record.state} open={record.open} />
        {record.key !== record.title && <span className="font-mono truncate">{record.key}</span>}
        <Time at={record.updated} now={now} as="ago" className="ml-auto" />
      </div>
    </div>
  )
}
