/** The smallest parts: they hold no data and no decision. */
import type { ComponentProps, ReactNode } from 'react'

export type Tone = 'unk' | 'crit' | 'high' | 'warn' | 'ok' | 'maint' | 'accent'

const TONES: Record<Tone, string> = {
  unk: 'bg-unk-soft text-fg-2',
  crit: 'bg-crit-soft text-crit',
  high: 'bg-high-soft text-high',
  warn: 'bg-warn-soft text-warn',
  ok: 'bg-ok-soft text-ok',
  maint: 'bg-maint-soft text-maint',
  accent: 'bg-accent-soft text-accent',
}

export function Chip({ children, tone = 'unk', className = '' }: { children: ReactNode; tone?: Tone; className?: string }) {
  return <span className={`inline-flex items-center gap-1 h-5 px-1.5 rounded-sm text-xs font-medium whitespace-nowrap ${TONES[tone]} ${className}`}>{children}</span>
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="inline-flex items-center justify-center min-w-[18px] h-[18px] px-1 rounded-sm border border-line-2 bg-surface font-sans text-2xs text-fg-2">{children}</kbd>
}

const KEY_NAMES: Record<string, string> = { escape: 'Esc', enter: '↵', space: 'Space' }

/** A key or a sequence as on the caps: "mod+k" is Ctrl K, "g g" two caps. */
export function Keys({ k }: { k: string }) {
  return (
    <span className="inline-flex gap-0.5">
      {k.split(' ').map((part, i) => (
        <Kbd key={i}>{KEY_NAMES[part] ?? part.replace('mod+', 'Ctrl ')}</Kbd>
      ))}
    </span>
  )
}

export function IconButton({ label, children, className = '', ...rest }: { label: string; children: ReactNode } & ComponentProps<'button'>) {
  return (
    <button type="button" aria-label={label} title={label} {...rest} className={`icon-btn ${className}`}>
      {children}
    </button>
  )
}

export function Panel({ title, aside, children, className = '', pad = true, id }: { title: ReactNode; aside?: ReactNode; children: ReactNode; className?: string; pad?: boolean; id?: string }) {
  return (
    <section id={id} className={`card min-w-0 overflow-hidden ${className}`}>
      <header className="flex items-center justify-between gap-3 min-h-9 px-3">
        <h2 className="text-sm font-semibold truncate">{title}</h2>
        <div className="flex items-center gap-2 text-xs text-fg-3 shrink-0">{aside}</div>
      </header>
      <div className={pad ? 'px-3 pb-3 pt-0.5' : ''}>{children}</div>
    </section>
  )
}

export function Meter({ value, label, tone = 'bg-accent-fill' }: { value: number; label: string; tone?: string }) {
  const percent = Math.round(Math.max(0, Math.min(1, value)) * 100)
  return (
    <span role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} className="block h-[3px] rounded-full bg-line-2 overflow-hidden">
      <span className={`block h-full rounded-full ${tone}`} style={{ width: `${percent}%` }} />
    </span>
  )
}

/** Eight calm hues, given by the letters of the key; the initials carry the identity. */
function hueOf(key: string): number {
  let sum = 0
  for (const c of key) sum = (sum * 31 + c.charCodeAt(0)) >>> 0
  return (200 + (sum % 8) * 45) % 360
}

export function Avatar({ id, name, size = 20 }: { id: string | null; name?: string; size?: number }) {
  if (!id) {
    return (
      <span className="inline-flex shrink-0 rounded-full border border-dashed border-ctl" style={{ width: size, height: size }}>
        <span className="sr-only">Nobody has it</span>
      </span>
    )
  }
  const words = (name ?? id).split(/[\s.@_-]+/).filter(Boolean)
  const initials = (words.length > 1 ? words[0]![0]! + words[1]![0]! : (words[0] ?? '?').slice(0, 2)).toUpperCase()
  const hue = hueOf(id)
  return (
    <span
      aria-hidden
      className="inline-flex items-center justify-center rounded-full font-semibold shrink-0"
      style={{
        width: size,
        height: size,
        fontSize: size * 0.43,
        background: `light-dark(oklch(0.9 0.045 ${hue}), oklch(0.36 0.05 ${hue}))`,
        color: `light-dark(oklch(0.36 0.07 ${hue}), oklch(0.9 0.05 ${hue}))`,
      }}
    >
      {initials}
    </span>
  )
}

/** The mark of the program. */
export function Mark({ className = 'size-[22px]' }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={`shrink-0 ${className}`} aria-hidden>
      <rect width="32" height="32" rx="7" fill="var(--accent-fill)" />
      <path d="M16 5.5v21M16 5.5 7.5 26M16 5.5 24.5 26M11.6 16h8.8" stroke="#fff" strokeWidth="2.2" fill="none" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  )
}
