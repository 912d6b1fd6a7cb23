import { Link } from '@tanstack/react-router'
import type { Rec } from '../api/types'
import { useClass } from '../shell/context'
import { Avatar, Panel } from '../ui/atoms'
import { Priority, State, StateSign } from '../ui/signs'
import { Empty, Failed, Skeleton } from '../ui/states'
import { Time } from '../ui/Time'
import { byNeed } from './answer'
import { More } from './More'

const MOST = 10

/** Open incidents, those that nobody has first. */
export function Incidents({ rows, total, pending, error, now }: { rows: Rec[]; total: number; pending: boolean; error: Error | null; now: number }) {
  const sorted = rows.toSorted(byNeed)
  return (
    <Panel title="Needs a person" pad={false} aside={<More cls="incident">{total > MOST ? `all ${total}` : 'all open'}</More>}>
      {pending ? (
        <Skeleton rows={4} height={38} label="Loading incidents" />
      ) : error ? (
        <Failed error={error} what="Incidents" />
      ) : rows.length ? (
        <ul>
          {sorted.slice(0, MOST).map((r) => (
            <IncidentRow key={r.key} record={r} now={now} />
          ))}
        </ul>
      ) : (
        <Empty title="Nothing needs you" text="No incident is open. When one opens, it is here within a second." />
      )}
    </Panel>
  )
}

function IncidentRow({ record, now }: { record: Rec; now: number }) {
  const cls = useClass('incident')
  const priority = typeof record.fields.priority === 'number' ? record.fields.priority : 5
  return (
    <li className="border-t border-line-soft">
      <Link to="/r/$cls/$key" params={{ cls: 'incident', key: record.key }} search={{}} className="grid grid-cols-[18px_minmax(0,1fr)_22px] md:grid-cols-[18px_minmax(0,1fr)_124px_76px_minmax(22px,96px)] items-center gap-x-3 min-h-[38px] max-md:min-h-[60px] max-md:py-2 px-3 hover:bg-hover">
        <Priority n={priority} />
        <span className="min-w-0">
          <span className={`block md:truncate max-md:line-clamp-2 ${record.owner === null || priority < 3 ? 'font-medium' : ''}`}>{record.title}</span>
          <span className="md:hidden flex items-center gap-2 text-xs text-fg-3 mt-0.5">
            <StateSign cls={cls} state={record.state} open={record.open} size={13} />
            {record.key}
            <Time at={record.created} now={now} as="ago" className="ml-auto" />
          </span>
        </span>
        <State cls={cls} state={record.state} open={record.open} className="max-md:hidden text-xs text-fg-2" />
        <Time at={record.created} now={now} as="ago" className="max-md:hidden text-xs text-fg-3 text-right" />
        <span className="flex items-center gap-1.5 min-w-0" title={record.owner ?? 'Nobody has it'}>
          <Avatar id={record.owner} />
          <span className={`truncate text-xs max-md:hidden ${record.owner ? 'text-fg-2' : 'text-high font-medium'}`}>{record.owner ?? 'nobody'}</span>
        </span>
      </Link>
    </li>
  )
}
