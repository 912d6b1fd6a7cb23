/** Series as charts: which belong together, what they are called, how their values are told. Pure. */
import type { SeriesPoints } from '../api/types'
import { groupBy } from '../lib/group'
import { bytes, sentence } from '../lib/values'

/** Lines in one chart: more cannot be told apart. The rest can be chosen by name. */
export const MOST_LINES = 10

export interface Line {
  /** What makes it differ from the others of its chart. */
  name: string
  points: [number, number][]
}

export interface Chart {
  metric: string
  title: string
  unit: Unit
  lines: Line[]
}

export type Unit = 'bytes' | 'percent' | 'seconds' | 'number'

const SUFFIX: [RegExp, Unit][] = [[/_bytes$/, 'bytes'], [/_percent$/, 'percent'], [/_seconds$/, 'seconds']]

const unitOf = (metric: string): Unit => SUFFIX.find(([end]) => end.test(metric))?.[1] ?? 'number'

const titleOf = (metric: string): string => sentence(metric.replace(/_(bytes|percent|seconds)$/, ''))

/** How long the asking took says least of the thing that was asked; the state has its own bar. */
const rank = (metric: string): number => (metric === 'check_duration_seconds' ? 2 : unitOf(metric) === 'percent' ? 0 : 1)

/** One chart a metric; lines are named by the labels in which they differ. A metric that never moved has its chart, too. */
export function chartsOf(series: SeriesPoints[]): Chart[] {
  const metrics = groupBy(series.filter((s) => s.labels.__name__ !== 'check_state'), (s) => s.labels.__name__ ?? '')
  return [...metrics]
    .map(([metric, all]) => ({ metric, title: titleOf(metric), unit: unitOf(metric), lines: linesOf(all) }))
    .toSorted((a, b) => rank(a.metric) - rank(b.metric) || a.title.localeCompare(b.title))
}

function linesOf(all: SeriesPoints[]): Line[] {
  const names = [...new Set(all.flatMap((s) => Object.keys(s.labels)))].filter((n) => n !== '__name__')
  const differing = names.filter((n) => new Set(all.map((s) => s.labels[n])).size > 1)
  return all.map((s) => ({ name: differing.map((n) => s.labels[n] ?? '').filter(Boolean).join(' ') || titleOf(s.labels.__name__ ?? ''), points: s.points }))
}

/** A value with its unit, in three digits. */
export function told(value: number, unit: Unit): string {
  switch (unit) {
    case 'bytes':
      return bytes(value)
    case 'percent':
      return `${digits(value)} %`
    case 'seconds':
      return Math.abs(value) >= 1 || value === 0 ? `${digits(value)} s` : Math.abs(value) >= 0.001 ? `${digits(value * 1e3)} ms` : `${digits(value * 1e6)} µs`
    default:
      return digits(value)
  }
}

const digits = (value: number): string => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-GB') : String(Number(value.toPrecision(3))))

/** All lines over one axis of time, as uPlot wants them: seconds, then a column a line with null where it has no point. */
export function aligned(lines: Line[]): [number[], ...(number | null)[][]] {
  const times = [...new Set(lines.flatMap((l) => l.points.map(([t]) => t)))].toSorted((a, b) => a - b)
  const place = new Map(times.map((t, i) => [t, i]))
  const columns = lines.map((l) => {
    const column = Array.from<unknown, number | null>(times, () => null)
    for (const [t, v] of l.points) column[place.get(t)!] = v
    return column
  })
  return [times.map((t) => t / 1000), ...columns]
}
