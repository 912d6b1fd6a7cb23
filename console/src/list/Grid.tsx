import type { Virtualizer } from '@tanstack/react-virtual'
import { ArrowDown, ArrowUp } from 'lucide-react'
import type { ReactNode, RefObject } from 'react'
import type { ClassDef, Rec } from '../api/types'
import { nameColumn, type Column } from './columns'
import { Row } from './Row'

interface Props {
  cls: ClassDef
  rows: Rec[]
  total: number | null
  columns: Column[]
  sort: string
  onSort: (sort: string) => void
  virtual: Virtualizer<HTMLDivElement, Element>
  scroller: RefObject<HTMLDivElement | null>
  at: number
  selected: Set<string>
  changed: Set<string>
  now: number
  phone: boolean
  rowHeight: number
  onOpen: (r: Rec) => void
  onToggle: (key: string) => void
  onToggleAll: () => void
  onPoint: (index: number) => void
  /** Shown instead of rows: loading, failed, nothing. */
  instead: ReactNode
}

/** The table: a grid that keeps the focus itself and names the current row, so that j and k move without a reflow. */
export function Grid(p: Props) {
  const template = ['18px', ...p.columns.map((c) => c.width)].join(' ')
  const least = p.columns.reduce((sum, c) => sum + c.least + 12, 18 + 24)
  const current = p.rows[p.at]
  return (
    <div
      role="grid"
      aria-label={p.cls.plural}
      aria-rowcount={(p.total ?? p.rows.length) + 1}
      aria-colcount={p.columns.length + 1}
      tabIndex={0}
      aria-activedescendant={current && !p.instead ? `row-${current.key}` : undefined}
      className="flex-1 min-h-0 flex flex-col -outline-offset-2"
    >
      <div ref={p.scroller} className="scroll flex-1 min-h-0 relative" role="presentation">
        <div role="presentation" className="h-full" style={{ minWidth: p.phone ? undefined : least }}>
          {!p.phone && <Head {...p} template={template} />}
          {p.instead ? (
            <div role="row">
              <div role="gridcell" aria-colspan={p.columns.length + 1}>
                {p.instead}
              </div>
            </div>
          ) : (
            <div role="rowgroup" className="relative" style={{ height: p.virtual.getTotalSize() }}>
              {p.virtual.getVirtualItems().map((item) => {
                const record = p.rows[item.index]
                if (!record) return null
                return (
                  <Row
                    key={record.key}
                    record={record}
                    cls={p.cls}
                    columns={p.columns}
                    template={template}
                    nameIn={nameColumn(p.columns)}
                    index={item.index}
                    top={item.start}
                    height={p.rowHeight}
                    active={item.index === p.at}
                    selected={p.selected.has(record.key)}
                    changed={p.changed.has(record.key)}
                    now={p.now}
                    phone={p.phone}
                    onOpen={p.onOpen}
                    onToggle={p.onToggle}
                    onPoint={p.onPoint}
                  />
                )
              })}
            </div>
          )}
        </div>
      </div>
    </div>
  )
}

function Head({ columns, template, sort, onSort, rows, selected, onToggleAll }: Props & { template: string }) {
  const descending = sort.startsWith('-')
  const by = sort.replace(/^-/, '')
  return (
    <div role="row" aria-rowindex={1} className="sticky top-0 z-10 grid items-center gap-x-3 h-7 px-3 border-y border-line bg-bg text-2xs font-medium text-fg-3" style={{ gridTemplateColumns: template }}>
      <span role="columnheader" className="flex">
        <input type="checkbox" tabIndex={-1} className="accent-[var(--accent)]" aria-label="Select all that are loaded" checked={rows.length > 0 && selected.size >= rows.length} onChange={onToggleAll} />
      </span>
      {columns.map((c) => {
        const sortable = !['list', 'map', 'group'].includes(c.field.type)
        const mine = by === c.name
        return (
          <span key={c.name} role="columnheader" aria-sort={mine ? (descending ? 'descending' : 'ascending') : undefined} className={`flex min-w-0 ${c.right ? 'justify-end' : ''}`}>
            {sortable ? (
              <button type="button" tabIndex={-1} title={c.field.help || undefined} onClick={() => onSort(mine && !descending ? `-${c.name}` : c.name)} className={`inline-flex items-center gap-1 min-w-0 hover:text-fg ${mine ? 'text-fg' : ''}`}>
                <span className="truncate">{c.name === 'priority' ? 'Prio' : c.field.title}</span>
                {mine && (descending ? <ArrowDown size={11} className="shrink-0" /> : <ArrowUp size={11} className="shrink-0" />)}
              </button>
            ) : (
              <span className="truncate">{c.field.title}</span>
            )}
          </span>
        )
      })}
    </div>
  )
}
