import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useMemo, useState } from 'react'
import * as read from '../api/queries'
import type { Interval, Rec } from '../api/types'
import { useMedia } from '../lib/media'
import { useSettings } from '../lib/settings'
import { DAY, full, HOUR, useNow } from '../lib/time'
import { Panel } from '../ui/atoms'
import { chartsOf, MOST_LINES, told, type Chart } from './series'

const Plot = lazy(() => import('./Plot'))

const SPANS: [string, number][] = [['1 h', HOUR], ['6 h', 6 * HOUR], ['1 d', DAY], ['7 d', 7 * DAY], ['30 d', 30 * DAY]]
const REFRESH_MS = 30_000
/** Charts shown at first; the others are one click away. */
const AT_FIRST = 4
const CLASSES_WITHOUT = new Set(['incident', 'runbook-run', 'notification', 'alert', 'person', 'team', 'change'])

/** What was measured of a check, or of whatever its checks are on: a chart a metric. Nothing at all when nothing is measured. */
export function ChartsPanel({ record }: { record: Rec }) {
  const [span, setSpan] = useState(HOUR)
  const [zoomed, setZoomed] = useState<[number, number] | null>(null)
  const [all, setAll] = useState(false)
  const minute = useNow(REFRESH_MS)
  const { theme } = useSettings()
  const dark = useMedia('(prefers-color-scheme: dark)')
  const about = record.class === 'check' ? { check: record.key } : { on: record.key }
  const asked = !CLASSES_WITHOUT.has(record.class)
  const [from, to] = zoomed ?? [minute - span, minute]
  const points = useQuery({ ...read.seriesRange(about, from, to), enabled: asked, placeholderData: keepPreviousData })
  const { data: spells = [] } = useQuery({ ...read.intervals(record.class, record.key), enabled: asked && record.class !== 'check' })
  const charts = useMemo(() => chartsOf(points.data ?? []), [points.data])
  const present = useMemo(() => spells.filter((s) => !s.corrected_by), [spells])
  // Where never anything was measured there is nothing to say; where a shorter time would show nothing, the spans stay.
  if (!asked || (!charts.length && span === HOUR && !zoomed)) return null
  const shown = all ? charts : charts.slice(0, AT_FIRST)
  return (
    <Panel
      title="Measured"
      aside={
        <span className="flex items-center gap-1">
          {zoomed && (
            <button type="button" className="btn !h-6" onClick={() => setZoomed(null)}>
              Back to the last {SPANS.find(([, ms]) => ms === span)?.[0]}
            </button>
          )}
          {SPANS.map(([name, ms]) => (
            <button
              key={name}
              type="button"
              aria-pressed={!zoomed && span === ms}
              onClick={() => {
                setZoomed(null)
                setSpan(ms)
              }}
              className={`h-6 px-2 rounded text-xs max-lg:h-9 ${!zoomed && span === ms ? 'bg-accent-soft font-medium' : 'text-fg-2 hover:bg-hover'}`}
            >
              {name}
            </button>
          ))}
        </span>
      }
    >
      {!charts.length && <p className="text-fg-3">Nothing was measured between {full(from)} and {full(to)}.</p>}
      <div className="grid gap-x-5 gap-y-4 @min-[1100px]:grid-cols-2">
        {shown.map((chart) => (
          <One key={chart.metric} chart={chart} from={from} to={to} spells={present} theme={`${theme} ${dark}`} onZoom={(a, b) => setZoomed([a, b])} />
        ))}
      </div>
      {charts.length > AT_FIRST && (
        <button type="button" className="link text-xs mt-3" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'Fewer' : `${charts.length - AT_FIRST} more`}
        </button>
      )}
    </Panel>
  )
}

function One({ chart, from, to, spells, theme, onZoom }: { chart: Chart; from: number; to: number; spells: Interval[]; theme: string; onZoom: (from: number, to: number) => void }) {
  const [only, setOnly] = useState<string | null>(null)
  const numbered = useMemo(() => chart.lines.map((line, colour) => ({ line, colour })), [chart])
  const chosen = useMemo(() => numbered.filter(({ line }) => !only || line.name === only).slice(0, MOST_LINES), [numbered, only])
  const lines = useMemo(() => chosen.map(({ line }) => line), [chosen])
  const colours = useMemo(() => chosen.map(({ colour }) => colour), [chosen])
  return (
    <section className="min-w-0" aria-label={chart.title}>
      <h3 className="text-xs font-medium mb-1">{chart.title}</h3>
      <Suspense fallback={<div className="h-[132px]" />}>
        <Plot lines={lines} colours={colours} unit={chart.unit} from={from} to={to} spells={spells} label={`${chart.title}: the values are in the table below`} theme={theme} onZoom={onZoom} />
      </Suspense>
      <table className="w-full text-xs mt-1">
        <thead className="sr-only">
          <tr>
            <th>Series</th>
            <th>Last</th>
            <th>Least</th>
            <th>Most</th>
          </tr>
        </thead>
        <tbody>
          {numbered.map(({ line, colour }) => {
            const values = line.points.map(([, v]) => v)
            const last = values.at(-1)
            return (
              <tr key={line.name} className={only && only !== line.name ? 'text-fg-3' : ''}>
                <th scope="row" className="py-0.5 min-w-0 font-normal text-left">
                  <button type="button" aria-pressed={only === line.name} disabled={chart.lines.length < 2} onClick={() => setOnly(only === line.name ? null : line.name)} className="inline-flex items-center gap-1.5 text-left break-all">
                    <span aria-hidden className="inline-block w-2.5 h-0.5 shrink-0" style={{ background: `var(--s${colour % 10})` }} />
                    {line.name}
                  </button>
                </th>
                <td className="py-0.5 text-right num font-medium w-20">{last === undefined ? '' : told(last, chart.unit)}</td>
                <td className="py-0.5 text-right num text-fg-3 w-36 max-lg:w-28">{values.length > 1 ? `${told(Math.min(...values), chart.unit)} – ${told(Math.max(...values), chart.unit)}` : ''}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </section>
  )
}
