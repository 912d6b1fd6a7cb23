import { Link } from '@tanstack/react-router'
import type { Rec } from '../api/types'
import { DAY, day, HOUR } from '../lib/time'
import { useClasses } from '../shell/context'
import { Panel } from '../ui/atoms'
import { Time } from '../ui/Time'
import { More } from './More'
import { useRecords } from './useRecords'

const AHEAD_MS = 7 * DAY
const STARTS = /^(planned_start|starts?|start_time|starts_at|from|begins?)$/
const ENDS = /^(planned_end|ends?|end_time|ends_at|until|to)$/

interface Moment {
  at: string
  what: string
  record: Rec
}

/** Beginnings and ends in the next seven days, read from whatever time fields the class calls its start and end. */
function moments(rows: Rec[], names: string[], now: number): Moment[] {
  return rows.flatMap((record) =>
    names.flatMap((name) => {
      const at = record.fields[name]
      const ms = typeof at === 'string' ? Date.parse(at) : NaN
      return ms > now && ms < now + AHEAD_MS ? [{ at: at as string, what: ENDS.test(name) ? `ends: ${record.title}` : record.title, record }] : []
    }),
  )
}

export function ComingUp({ now }: { now: number }) {
  const classes = useClasses()
  const changes = useRecords('change', 'state:open')
  const windows = useRecords('maintenance-window', 'state:open')
  const times = (cls: string): string[] => (classes.get(cls)?.fields ?? []).filter((f) => f.type === 'time' && (STARTS.test(f.name) || ENDS.test(f.name))).map((f) => f.name)
  const list = [...moments(changes.rows, times('change'), now), ...moments(windows.rows, times('maintenance-window'), now)].toSorted((a, b) => a.at.localeCompare(b.at)).slice(0, 8)
  const soon = (at: string): boolean => Date.parse(at) - now < 24 * HOUR
  return (
    <Panel title="Coming up" pad={false} aside={<More cls="change">changes</More>}>
      {!list.length && <p className="px-3 pb-3 text-fg-3">No change and no maintenance in the next seven days.</p>}
      <ul>
        {list.map((m) => (
          <li key={`${m.record.key}${m.at}`} className="border-t border-line-soft">
            <Link to="/r/$cls/$key" params={{ cls: m.record.class, key: m.record.key }} search={{}} className="flex items-center gap-3 min-h-[38px] max-lg:min-h-11 px-3 hover:bg-hover">
              <span className="w-20 shrink-0 text-xs text-fg-3 num">{soon(m.at) ? <>in <Time at={m.at} now={now} as="in" /></> : day(m.at)}</span>
              <span className="truncate">{m.what}</span>
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
