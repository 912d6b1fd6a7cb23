import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { HealthState, Interval } from '../api/types'
import { clock, clockSeconds, day, DAY, HOUR } from '../lib/time'
import { aligned, told, type Line, type Unit } from './series'

const HEIGHT = 132
/** A pause of this many usual steps is a gap, not a line. */
const GAP = 4
/** Steps of an axis of bytes. */
const POWERS = Array.from({ length: 60 }, (_, i) => 2 ** i)
const SHADE: Partial<Record<HealthState, string>> = { down: '--crit-soft', degraded: '--warn-soft', unknown: '--unk-soft', maintenance: '--maint-soft' }

/** One chart: from zero, with the record's bad times behind the lines, sharing its cursor with the others on the page. */
export default function Plot({ lines, colours, unit, from, to, spells, label, theme, onZoom }: { lines: Line[]; colours: number[]; unit: Unit; from: number; to: number; spells: Interval[]; label: string; theme: string; onZoom: (from: number, to: number) => void }) {
  const box = useRef<HTMLDivElement>(null)
  const zoom = useRef(onZoom)
  zoom.current = onZoom
  useEffect(() => {
    const place = box.current
    if (!place) return
    const ink = inks(place)
    const axis = { stroke: ink('--fg-3'), grid: { stroke: ink('--line-soft'), width: 1 }, ticks: { show: false }, font: '11px "Inter Variable", sans-serif' }
    const plot = new uPlot(
      {
        width: place.clientWidth,
        height: HEIGHT,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: 'record' }, drag: { x: true, y: false }, points: { size: 6 } },
        scales: { x: { time: true, range: () => [from / 1000, to / 1000] }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
        axes: [
          { ...axis, size: 24, space: 70, values: (_, at) => at.map((t) => (to - from > 2 * DAY ? day(t * 1000) : to - from < HOUR / 4 ? clockSeconds(t * 1000) : clock(t * 1000))) },
          { ...axis, size: 58, space: 28, ...(unit === 'bytes' ? { incrs: POWERS } : {}), values: (_, at) => at.map((v) => told(v, unit)) },
        ],
        series: [{}, ...lines.map((_, i) => ({ stroke: ink(`--s${colours[i]! % 10}`), width: 1.5, points: { show: false }, spanGaps: true, gaps: pauses }))],
        hooks: {
          drawClear: [(u: uPlot) => shade(u, spells, ink)],
          setSelect: [
            (u: uPlot) => {
              const { left, width } = u.select
              if (width > 4) zoom.current(Math.round(u.posToVal(left, 'x') * 1000), Math.round(u.posToVal(left + width, 'x') * 1000))
            },
          ],
        },
      },
      aligned(lines) as uPlot.AlignedData,
      place,
    )
    const watch = new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT }))
    watch.observe(place)
    return () => {
      watch.disconnect()
      plot.destroy()
    }
  }, [lines, colours, unit, from, to, spells, theme])
  return <div ref={box} role="img" aria-label={label} className="min-w-0" style={{ minHeight: HEIGHT }} />
}

/** Colours as the theme has them now: uPlot reads them once, so the chart is drawn anew when the theme changes. */
function inks(place: HTMLElement): (name: string) => string {
  const probe = document.createElement('span')
  probe.style.transition = 'none'
  place.append(probe)
  const known = new Map<string, string>()
  const read = (name: string): string => {
    probe.style.color = `var(${name})`
    return getComputedStyle(probe).color
  }
  return (name) => known.get(name) ?? known.set(name, read(name)).get(name)!
}

/** Where the line is interrupted: nobody measured there, and nothing is drawn over it. */
const pauses: uPlot.Series.GapsRefiner = (u, line, first, last) => {
  const times = u.data[0]
  const values = u.data[line]!
  const there: number[] = []
  for (let i = first; i <= last; i++) if (values[i] !== null && values[i] !== undefined) there.push(i)
  const steps = there.slice(1).map((i, n) => times[i]! - times[there[n]!]!).toSorted((a, b) => a - b)
  const usual = steps[Math.floor(steps.length / 2)] ?? 0
  const gaps: uPlot.Series.Gaps = []
  for (let n = 1; n < there.length; n++) {
    const [a, b] = [there[n - 1]!, there[n]!]
    if (times[b]! - times[a]! > usual * GAP) gaps.push([u.valToPos(times[a]!, 'x', true), u.valToPos(times[b]!, 'x', true)])
  }
  return gaps
}

function shade(u: uPlot, spells: Interval[], ink: (name: string) => string): void {
  const { left, top, width, height } = u.bbox
  for (const spell of spells) {
    const colour = SHADE[spell.state]
    if (!colour) continue
    const x0 = Math.max(left, u.valToPos(Date.parse(spell.start) / 1000, 'x', true))
    const x1 = Math.min(left + width, spell.end ? u.valToPos(Date.parse(spell.end) / 1000, 'x', true) : left + width)
    if (x1 <= left || x0 >= left + width) continue
    u.ctx.fillStyle = ink(colour)
    // However short a bad time was, it is seen.
    u.ctx.fillRect(x0, top, Math.max(2, x1 - x0), height)
  }
}
