import { clock, full, since, short, span, utc, zoneName } from '../lib/time'

/** A moment in the reader's zone; UTC on hover. */
export function Time({ at, now, as = 'short', className = '' }: { at: string; now: number; as?: 'short' | 'ago' | 'full' | 'clock' | 'in'; className?: string }) {
  const text = as === 'ago' ? since(at, now) : as === 'full' ? full(at) : as === 'clock' ? clock(at) : as === 'in' ? span(Date.parse(at) - now) : short(at, now)
  return (
    <time dateTime={at} title={`${full(at)} ${zoneName()}\n${utc(at)}`} className={`num whitespace-nowrap ${className}`}>
      {text}
    </time>
  )
}
