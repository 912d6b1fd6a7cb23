import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Check } from 'lucide-react'
import { useDeferredValue, useState } from 'react'
import * as acts from '../api/acts'
import * as read from '../api/queries'
import type { ClassDef, Drift, Json, Observation, Observations, Rec } from '../api/types'
import { groupBy } from '../lib/group'
import { bytes, sentence, show } from '../lib/values'
import { Panel } from '../ui/atoms'
import { Time } from '../ui/Time'
import { did, failed } from '../ui/toast'
import { refresh } from './act'

/** Where what was declared and what is seen differ. Either side can be made the truth. */
export function DriftPanel({ cls, record }: { cls: ClassDef; record: Rec }) {
  const client = useQueryClient()
  const { data } = useQuery(read.observations(record.class, record.key))
  if (!data?.drift.length) return null
  async function accept(drift: Drift, side: 'declared' | 'observed'): Promise<void> {
    try {
      await acts.accept(record.class, record.key, drift.field, side)
      refresh(client, record)
      did(side === 'observed' ? 'What is seen is declared now' : 'What is declared stays; the difference is accepted')
    } catch (error) {
      failed('It was not accepted', error)
    }
  }
  return (
    <Panel title="Differs from what is seen" aside={<span className="num text-high font-medium">{data.drift.length}</span>} pad={false}>
      <ul>
        {data.drift.map((d) => {
          const field = cls.fields.find((f) => f.name === d.field)
          return (
            <li key={d.field} className="px-3 py-2 border-t border-line-soft">
              <div className="flex items-baseline justify-between gap-2">
                <span className="text-fg-3 text-xs">{field?.title ?? d.field}</span>
                <span className="text-2xs text-fg-3">seen by {d.source}</span>
              </div>
              <div className="grid grid-cols-2 gap-2 mt-1">
                <SideButton label="Declared" text={show(d.declared, field)} onClick={() => void accept(d, 'declared')} />
                <SideButton label="Seen" text={show(d.observed, field)} onClick={() => void accept(d, 'observed')} />
              </div>
            </li>
          )
        })}
      </ul>
    </Panel>
  )
}

function SideButton({ label, text, onClick }: { label: string; text: string; onClick: () => void }) {
  return (
    <div className="rounded border border-line px-2 py-1.5 min-w-0">
      <div className="flex items-center justify-between gap-1">
        <span className="label">{label}</span>
        <button type="button" className="link text-xs inline-flex items-center gap-1" aria-label={`Accept what is ${label.toLowerCase()}: ${text}`} onClick={onClick}>
          <Check size={12} /> accept
        </button>
      </div>
      <span className="break-words">{text || <span className="text-fg-3">nothing</span>}</span>
    </div>
  )
}

const ROWS = 200

/** All observed tables with how many rows each has, where the server tells; else counted from what it sent. */
function tablesOf(data: Observations | undefined): [name: string, rows: number][] {
  if (data?.tables) return Object.entries(data.tables)
  return [...groupBy(data?.observations ?? [], (o) => o.table)].map(([name, rows]) => [name, rows.length])
}

/** What agents and probes have seen of the record, table by table: packages, ports, disks… Searched by the server. */
export function ObservedPanel({ record, now }: { record: Rec; now: number }) {
  const all = useQuery(read.observations(record.class, record.key))
  const [table, setTable] = useState<string | null>(null)
  const [words, setWords] = useState('')
  const q = useDeferredValue(words.trim())
  const tables = tablesOf(all.data).filter(([name]) => name !== 'fields')
  const current = table ?? tables[0]?.[0]
  const found = useQuery({ ...read.observations(record.class, record.key, { table: current, q, limit: ROWS }), enabled: Boolean(current), placeholderData: (before) => before })
  if (!current) return null
  const rows = (found.data?.observations ?? []).filter((o) => o.table === current)
  // Columns that say something in at least one row.
  const names = [...new Set(rows.flatMap((o) => (o.value && typeof o.value === 'object' && !Array.isArray(o.value) ? Object.entries(o.value).filter(([, v]) => v !== null && v !== '').map(([n]) => n) : [])))].slice(0, 5)
  return (
    <Panel
      title="Seen on it"
      pad={false}
      aside={<input aria-label={`Search ${current}`} placeholder={`Search ${current}`} className="input !h-7 !w-40" value={words} onChange={(e) => setWords(e.target.value)} />}
    >
      <div role="tablist" aria-label="Tables" className="flex gap-1 px-2 pb-1.5 flex-wrap">
        {tables.map(([name, seen]) => (
          <button key={name} type="button" role="tab" aria-selected={name === current} onClick={() => setTable(name)} className={`h-6 px-2 rounded text-xs max-lg:h-9 ${name === current ? 'bg-accent-soft font-medium' : 'text-fg-2 hover:bg-hover'}`}>
            {sentence(name)} <span className="num text-fg-3">{seen}</span>
          </button>
        ))}
      </div>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="scroll max-h-[340px] border-t border-line" tabIndex={0} role="region" aria-label={`${sentence(current)}, rows`}>
        <table className="w-full text-left">
          <thead className="sticky top-0 bg-bg label">
            <tr>
              <th className="font-medium px-3 py-1">Name</th>
              {names.map((n) => (
                <th key={n} className="font-medium px-2 py-1">
                  {sentence(n.replace(/_bytes$/, ''))}
                </th>
              ))}
              <th className="font-medium px-3 py-1 text-right">Seen</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((o) => (
              <ObservedRow key={o.item} seen={o} names={names} now={now} />
            ))}
          </tbody>
        </table>
        {!rows.length && <p className="px-3 py-4 text-fg-3">{words ? `Nothing in ${current} matches “${words}”.` : 'Nothing seen yet.'}</p>}
      </div>
    </Panel>
  )
}

const SIZES = /^(size|used|free|memory|rss)$|(^|_)bytes$/
const part = (name: string, value: Json | undefined): string => (SIZES.test(name) && typeof value === 'number' ? bytes(value) : show(value))

function ObservedRow({ seen, names, now }: { seen: Observation; names: string[]; now: number }) {
  const value = seen.value && typeof seen.value === 'object' && !Array.isArray(seen.value) ? seen.value : null
  return (
    <tr className={`border-t border-line-soft ${seen.gone ? 'text-fg-3 line-through' : ''}`}>
      <td className="px-3 py-1 break-all">{seen.item}</td>
      {names.length ? (
        names.map((n) => (
          <td key={n} className="px-2 py-1 text-fg-2 break-words">
            {part(n, value?.[n])}
          </td>
        ))
      ) : (
        <td className="px-2 py-1 text-fg-2">{show(seen.value)}</td>
      )}
      <td className="px-3 py-1 text-right text-xs text-fg-3">{seen.gone ? <>gone <Time at={seen.gone} now={now} as="ago" /></> : <Time at={seen.last_seen} now={now} as="ago" />}</td>
    </tr>
  )
}
