import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import * as acts from '../api/acts'
import * as read from '../api/queries'
import type { HealthState, Interval, Rec } from '../api/types'
import { TimeInput } from '../form/TimeInput'
import { DAY, full, span } from '../lib/time'
import { Panel } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { Modal } from '../ui/Modal'
import { HEALTH_NAME, HealthSign } from '../ui/signs'
import { Time } from '../ui/Time'
import { did, failed } from '../ui/toast'
import { Because } from './Because'

const FILL: Record<HealthState, string> = { up: 'var(--ok)', degraded: 'var(--warn)', down: 'var(--crit)', unknown: 'var(--ctl)', maintenance: 'var(--maint)' }
/** Bad times stand taller: they are read without colour. */
const HEIGHT: Record<HealthState, number> = { up: 10, degraded: 18, down: 28, unknown: 14, maintenance: 14 }
const DAYS = 30

/** How the record has been in the last 30 days, each spell with its reason. Spells can be corrected, with a reason. */
export function HealthPanel({ record, now }: { record: Rec; now: number }) {
  const { data = [] } = useQuery(read.intervals(record.class, record.key))
  const [correcting, setCorrecting] = useState<Interval | null>(null)
  const from = now - DAYS * DAY
  const valid = data.filter((i) => !i.corrected_by && (i.end === null || Date.parse(i.end) > from)).toSorted((a, b) => a.start.localeCompare(b.start))
  if (!valid.length) return null
  const begin = Math.max(from, Date.parse(valid[0]!.start))
  const upMs = valid.filter((i) => i.state === 'up').reduce((sum, i) => sum + Math.max(0, (i.end ? Date.parse(i.end) : now) - Math.max(begin, Date.parse(i.start))), 0)
  const spells = valid.filter((i) => i.state !== 'up').toReversed()
  return (
    <Panel title="Health" aside={<span className="num">{((upMs / (now - begin)) * 100).toFixed(2)} % up in {span(now - begin)}</span>}>
      <Bar intervals={valid} from={begin} to={now} />
      <ul className="mt-2">
        {spells.slice(0, 6).map((i) => (
          <li key={i.id} className="flex items-baseline gap-x-2 py-1 border-t border-line-soft min-w-0 max-md:flex-wrap">
            <span className="self-center">
              <HealthSign health={i.state} />
            </span>
            <span className="shrink-0">{HEALTH_NAME[i.state]}</span>
            <span className="min-w-0 flex-1 text-fg-3 text-xs max-md:order-last max-md:basis-full">
              <span className="break-words">{i.reason}</span> <Because seq={i.cause} />
            </span>
            <span className="shrink-0 text-xs text-fg-2 num text-right max-md:ml-auto">
              <Time at={i.start} now={now} /> for {span((i.end ? Date.parse(i.end) : now) - Date.parse(i.start))}
            </span>
            <button type="button" className="link text-xs shrink-0" onClick={() => setCorrecting(i)}>
              Correct
            </button>
          </li>
        ))}
      </ul>
      {correcting && <Correct record={record} interval={correcting} onClose={() => setCorrecting(null)} />}
    </Panel>
  )
}

function Bar({ intervals, from, to }: { intervals: Interval[]; from: number; to: number }) {
  const W = 1000
  const x = (time: number): number => ((time - from) / (to - from)) * W
  const bad = intervals.filter((i) => i.state !== 'up').length
  return (
    <>
      <svg viewBox={`0 0 ${W} 30`} preserveAspectRatio="none" className="w-full h-[30px] block" role="img" aria-label={`Health since ${full(from)}: ${bad} spells that were not up.`}>
        {intervals.map((i) => {
          const start = Math.max(0, x(Date.parse(i.start)))
          const end = i.end ? x(Date.parse(i.end)) : W
          return (
            <rect key={i.id} x={start} width={Math.max(2.5, end - start)} y={30 - HEIGHT[i.state]} height={HEIGHT[i.state]} fill={FILL[i.state]} opacity={i.state === 'up' ? 0.45 : 1}>
              <title>{`${HEALTH_NAME[i.state]}, ${full(i.start)} to ${i.end ? full(i.end) : 'now'}${i.reason ? `: ${i.reason}` : ''}`}</title>
            </rect>
          )
        })}
      </svg>
      <div className="flex justify-between text-2xs text-fg-3 num mt-1">
        <span>{span(to - from)} ago</span>
        <span>now</span>
      </div>
    </>
  )
}

function Correct({ record, interval, onClose }: { record: Rec; interval: Interval; onClose: () => void }) {
  const client = useQueryClient()
  const [state, setState] = useState(interval.state)
  const [start, setStart] = useState(interval.start)
  const [end, setEnd] = useState(interval.end)
  const [reason, setReason] = useState('')
  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      await acts.correct(interval.id, { start, end, state, reason })
      void client.invalidateQueries({ queryKey: ['intervals', record.key] })
      did('The spell is corrected; the old one is kept')
      onClose()
    } catch (error) {
      failed('The spell was not corrected', error)
    }
  }
  return (
    <Modal open onClose={onClose} title="Correct a spell">
      <form onSubmit={(e) => void submit(e)} className="p-4 space-y-3">
        <p className="text-fg-2">Figures of service levels are computed again. The old spell is kept and says who corrected it.</p>
        <Labelled label="It was">
          {(parts) => (
            <select {...parts} className="input" value={state} onChange={(e) => setState(e.target.value as HealthState)}>
              {(Object.keys(HEALTH_NAME) as HealthState[]).map((h) => (
                <option key={h} value={h}>
                  {HEALTH_NAME[h]}
                </option>
              ))}
            </select>
          )}
        </Labelled>
        <div className="grid grid-cols-2 gap-3">
          <Labelled label="From">{(parts) => <TimeInput {...parts} value={start} onChange={(v) => setStart(String(v ?? start))} />}</Labelled>
          <Labelled label="To">{(parts) => <TimeInput {...parts} value={end ?? ''} onChange={(v) => setEnd(v === null ? null : String(v))} />}</Labelled>
        </div>
        <Labelled label="Why" required>
          {(parts) => <input {...parts} className="input" value={reason} onChange={(e) => setReason(e.target.value)} />}
        </Labelled>
        <div className="flex justify-end gap-2">
          <button type="button" className="btn" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="btn btn-primary" disabled={!reason.trim()}>
            Correct
          </button>
        </div>
      </form>
    </Modal>
  )
}
