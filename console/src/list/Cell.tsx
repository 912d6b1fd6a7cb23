import { Link } from '@tanstack/react-router'
import type { ClassDef, Json, Rec } from '../api/types'
import { healthOf, show, valueOf } from '../lib/values'
import { Avatar } from '../ui/atoms'
import { HEALTH_NAME, HealthSign, Priority, State } from '../ui/signs'
import { Time } from '../ui/Time'
import type { Column } from './columns'

/** One value in a row, by the meaning of its column. */
export function Cell({ record, column, cls, now }: { record: Rec; column: Column; cls: ClassDef; now: number }) {
  const { name, field } = column
  const value = valueOf(record, name)
  if (name === 'state') return <State cls={cls} state={record.state} open={record.open} className={record.open ? '' : 'text-fg-3'} />
  if (name === 'priority' && typeof value === 'number') return <Priority n={value} quiet={!record.open} />
  if (name === 'key') return <span className="truncate font-mono text-xs text-fg-2">{record.key}</span>
  if (name === 'health') {
    const health = healthOf(record)
    return health ? (
      <span className="inline-flex items-center gap-1.5 min-w-0" title={record.health?.reason}>
        <HealthSign health={health} label={false} />
        <span className={`truncate ${health === 'up' ? 'text-fg-2' : ''}`}>{HEALTH_NAME[health]}</span>
      </span>
    ) : (
      <Nothing />
    )
  }
  if (name === 'owner') return <Owner owner={record.owner} />
  return <Value value={value} column={column} now={now} dim={field.name !== 'title'} />
}

function Value({ value, column: { field }, now, dim }: { value: Json | undefined; column: Column; now: number; dim: boolean }) {
  if (value === null || value === undefined || value === '') return <Nothing />
  if (field.type === 'time' && typeof value === 'string') {
    const ahead = Date.parse(value) > now
    return <Time at={value} now={now} as={ahead ? 'short' : 'ago'} className="text-xs text-fg-3 truncate" />
  }
  if (field.type === 'ref' && typeof value === 'string' && field.class?.length === 1) {
    return (
      <Link to="/r/$cls/$key" params={{ cls: field.class[0]!, key: value }} search={{}} tabIndex={-1} className="truncate hover:underline underline-offset-4">
        {value}
      </Link>
    )
  }
  return <span className={`truncate ${dim ? 'text-fg-2' : ''} ${typeof value === 'number' ? 'num' : ''}`}>{show(value, field)}</span>
}

function Nothing() {
  return (
    <span className="text-fg-3" aria-hidden>
      –
    </span>
  )
}

export function Owner({ owner }: { owner: string | null }) {
  return (
    <span className="inline-flex items-center gap-1.5 min-w-0" title={owner ?? 'Nobody has it'}>
      <Avatar id={owner} size={18} />
      {owner && <span className="truncate text-xs text-fg-2">{owner}</span>}
    </span>
  )
}
