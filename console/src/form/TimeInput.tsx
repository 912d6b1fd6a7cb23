import type { ComponentProps } from 'react'
import type { Json } from '../api/types'
import { full, utc, zone } from '../lib/time'

type Props = Omit<ComponentProps<'input'>, 'value' | 'onChange'> & { value: string; onChange: (value: Json) => void }

/** Minutes that the reader's zone is ahead of UTC at a moment. */
function offset(ms: number): number {
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone: zone(), hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' }).formatToParts(ms)
  const get = (type: string): number => Number(parts.find((p) => p.type === type)?.value)
  return Math.round((Date.UTC(get('year'), get('month') - 1, get('day'), get('hour'), get('minute')) - Math.floor(ms / 60_000) * 60_000) / 60_000)
}

const toLocal = (iso: string): string => {
  const ms = Date.parse(iso)
  return Number.isNaN(ms) ? '' : new Date(ms + offset(ms) * 60_000).toISOString().slice(0, 16)
}

function toUtc(local: string): string | null {
  const wall = Date.parse(local + 'Z')
  if (Number.isNaN(wall)) return null
  // The offset at the wall time, corrected once: right on both sides of a change to summer time.
  const guess = wall - offset(wall) * 60_000
  return new Date(wall - offset(guess) * 60_000).toISOString()
}

/** A moment, asked in the reader's zone and kept in UTC. */
export function TimeInput({ value, onChange, readOnly, ...rest }: Props) {
  if (readOnly) return <input {...rest} readOnly className="input num" value={value ? full(value) : ''} />
  return <input {...rest} type="datetime-local" className="input num" title={value ? `${zone()}\n${utc(value)}` : zone()} value={toLocal(value)} onChange={(e) => onChange(toUtc(e.target.value))} />
}
