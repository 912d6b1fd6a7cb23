/** Signs that are read by shape and word first, colour third: health, state, priority. */
import type { ClassDef, HealthState } from '../api/types'
import { sentence } from '../lib/values'
import type { Tone } from './atoms'

export const HEALTH_NAME: Record<HealthState, string> = { up: 'Up', degraded: 'Degraded', down: 'Down', unknown: 'Unknown', maintenance: 'In maintenance' }
export const HEALTH_TEXT: Record<HealthState, string> = { up: 'text-ok', degraded: 'text-warn', down: 'text-crit', unknown: 'text-unk', maintenance: 'text-maint' }
/** Worst first; unknown before up, because unknown is never green. */
export const HEALTH_ORDER: Record<HealthState, number> = { down: 0, degraded: 1, unknown: 2, maintenance: 3, up: 4 }

/** Circle, triangle, octagon, diamond, square: five shapes as well as five colours. */
export function HealthSign({ health, size = 12, label = true }: { health: HealthState; size?: number; label?: boolean }) {
  const named = label ? { role: 'img', 'aria-label': HEALTH_NAME[health] } : { 'aria-hidden': true }
  return (
    <svg width={size} height={size} viewBox="0 0 14 14" className={`${HEALTH_TEXT[health]} shrink-0`} {...named}>
      {health === 'up' && <circle cx="7" cy="7" r="4.5" fill="currentColor" />}
      {health === 'degraded' && <path d="M7 1.4 13.2 12.4H.8Z" fill="currentColor" />}
      {health === 'down' && (
        <>
          <path d="M4.4.8h5.2l3.6 3.6v5.2l-3.6 3.6H4.4L.8 9.6V4.4Z" fill="currentColor" />
          <path d="m4.8 4.8 4.4 4.4m0-4.4L4.8 9.2" stroke="var(--surface)" strokeWidth="1.6" />
        </>
      )}
      {health === 'unknown' && <path d="M7 1.2 12.8 7 7 12.8 1.2 7Z" fill="none" stroke="currentColor" strokeWidth="1.6" strokeDasharray="2.4 1.6" />}
      {health === 'maintenance' && (
        <>
          <rect x="1.8" y="1.8" width="10.4" height="10.4" rx="1.5" fill="none" stroke="currentColor" strokeWidth="1.8" />
          <path d="M5.3 4.5v5M8.7 4.5v5" stroke="currentColor" strokeWidth="1.6" />
        </>
      )}
    </svg>
  )
}

/** Check states are health in capitals. */
export const CHECK_HEALTH: Record<string, HealthState> = { OK: 'up', WARNING: 'degraded', CRITICAL: 'down', UNKNOWN: 'unknown' }

/** States of things that simply are in use: nothing is to be done, so nothing is drawn in colour. */
export const LIVING = /^(active|in-use|live)$/

export function toneOfState(state: string, open: boolean): Tone {
  const check = CHECK_HEALTH[state]
  if (check) return ({ up: 'ok', degraded: 'warn', down: 'crit', unknown: 'unk', maintenance: 'maint' } as const)[check]
  if (/^(failed|failing|breached|rejected|lost|expired|overdue|backed-out)$/.test(state)) return 'crit'
  if (/^(detected|firing|awaiting-approval|proposed|new|blocked)$/.test(state)) return 'high'
  if (LIVING.test(state) || /^(reviewed|closed|retired)$/.test(state)) return 'unk'
  if (/^(resolved|done|succeeded|completed|sent|delivered|accepted|approved)$/.test(state)) return open ? 'accent' : 'ok'
  return open ? 'accent' : 'unk'
}

const TONE_TEXT: Record<Tone, string> = { unk: 'text-fg-3', crit: 'text-crit', high: 'text-high', warn: 'text-warn', ok: 'text-ok', maint: 'text-maint', accent: 'text-accent' }

/** How far along its life cycle a state is, from 0 to 1. */
function progress(cls: ClassDef | undefined, state: string): number {
  const at = cls?.states.findIndex((s) => s.name === state) ?? -1
  return !cls || at < 0 || cls.states.length < 2 ? 0 : at / (cls.states.length - 1)
}

/** State: a pie that fills as the record moves along its life cycle; a tick when it is closed. */
export function StateSign({ cls, state, open, size = 15 }: { cls?: ClassDef; state: string; open: boolean; size?: number }) {
  const check = CHECK_HEALTH[state]
  if (check) return <HealthSign health={check} size={size - 2} label={false} />
  const part = Math.min(0.95, progress(cls, state))
  const colour = TONE_TEXT[toneOfState(state, open)]
  const x = 8 + 4.6 * Math.sin(2 * Math.PI * part)
  const y = 8 - 4.6 * Math.cos(2 * Math.PI * part)
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" className={`${colour} shrink-0`} aria-hidden>
      {open ? (
        <>
          <circle cx="8" cy="8" r="6.6" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray={part === 0 && !LIVING.test(state) ? '2.2 1.95' : undefined} />
          {LIVING.test(state) && <circle cx="8" cy="8" r="2.6" fill="currentColor" />}
          {part > 0 && <path d={`M8 8V3.4A4.6 4.6 0 ${part > 0.5 ? 1 : 0} 1 ${x} ${y}Z`} fill="currentColor" />}
        </>
      ) : (
        <>
          <circle cx="8" cy="8" r="7" fill="currentColor" />
          <path d="m5 8.2 2.1 2.1L11.2 6" stroke="var(--surface)" strokeWidth="1.6" fill="none" strokeLinecap="round" strokeLinejoin="round" />
        </>
      )}
    </svg>
  )
}

export const stateName = (state: string): string => (CHECK_HEALTH[state] ? state : sentence(state))

export function State({ cls, state, open, className = '' }: { cls?: ClassDef; state: string; open: boolean; className?: string }) {
  return (
    <span className={`inline-flex items-center gap-1.5 min-w-0 ${className}`}>
      <StateSign cls={cls} state={state} open={open} />
      <span className="truncate">{stateName(state)}</span>
    </span>
  )
}

const PRIORITY = ['', 'bg-crit-fill text-white border-transparent', 'bg-high-soft text-high border-high', 'bg-warn-soft text-warn border-warn', 'text-fg-2 border-ctl', 'text-fg-3 border-line-2 border-dashed']
export const PRIORITY_NAME = ['', 'Critical', 'High', 'Medium', 'Low', 'Lowest']

/** Priority 1 to 5: digit, weight of the fill, colour. Reads in greyscale. `quiet` for what is over. */
export function Priority({ n, label = false, quiet = false }: { n: number; label?: boolean; quiet?: boolean }) {
  const level = Math.max(1, Math.min(5, Math.round(n)))
  return (
    <span className="inline-flex items-center gap-1.5 shrink-0">
      <span aria-hidden className={`inline-flex items-center justify-center size-[18px] rounded-sm border text-2xs font-semibold num ${quiet ? 'text-fg-3 border-line-2' : PRIORITY[level]}`}>
        {level}
      </span>
      {label ? <span>{PRIORITY_NAME[level]}</span> : <span className="sr-only">Priority {level}, {PRIORITY_NAME[level]}</span>}
    </span>
  )
}
