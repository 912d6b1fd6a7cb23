/** Times and spans in words. The zone is the reader's own (settings.ts); UTC is always one hover away. */
import { useEffect, useState } from 'react'
import { settings } from './settings'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** A span in the two units that matter: "48 s", "12 min", "3 h 05", "4 d". */
export function span(ms: number): string {
  const s = Math.round(Math.abs(ms) / SECOND)
  if (s < 60) return `${s} s`
  const m = Math.round(s / 60)
  if (m < 60) return `${m} min`
  if (m < 24 * 60) {
    const h = Math.floor(m / 60)
    return m % 60 && h < 6 ? `${h} h ${String(m % 60).padStart(2, '0')}` : `${h} h`
  }
  const d = Math.floor(m / (24 * 60))
  return d < 90 ? `${d} d` : `${Math.round(d / 30)} months`
}

export const since = (time: string, now: number): string => {
  const ms = now - Date.parse(time)
  return Number.isNaN(ms) ? '' : ms < 5 * SECOND ? 'a moment' : span(ms)
}

export const zone = (): string => settings().zone || Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

const formats = new Map<string, Intl.DateTimeFormat>()
function format(time: number | string, options: Intl.DateTimeFormatOptions, timeZone: string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return String(time)
  const key = timeZone + JSON.stringify(options)
  let f = formats.get(key)
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat('en-GB', { ...options, timeZone })))
  return f.format(date)
}

export const clock = (time: number | string): string => format(time, { hour: '2-digit', minute: '2-digit' }, zone())
export const clockSeconds = (time: number | string): string => format(time, { hour: '2-digit', minute: '2-digit', second: '2-digit' }, zone())
export const day = (time: number | string): string => format(time, { weekday: 'short', day: 'numeric', month: 'short' }, zone())
export const longDay = (time: number | string): string => format(time, { weekday: 'long', day: 'numeric', month: 'long' }, zone())
export const full = (time: number | string): string =>
  format(time, { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' }, zone())
export const utc = (time: number | string): string =>
  format(time, { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' }, 'UTC') + ' UTC'

/** Clock for today, day and clock otherwise. */
export const short = (time: string, now: number): string => (day(time) === day(now) ? clock(time) : `${day(time)}, ${clock(time)}`)

/** The place in a zone's name: "Europe/London" is London. */
export const zoneName = (name = zone()): string => name.split('/').pop()?.replaceAll('_', ' ') ?? name

/** The present, told again every `every` milliseconds. */
export function useNow(every = 15 * SECOND): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}
