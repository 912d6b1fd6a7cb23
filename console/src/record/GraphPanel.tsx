import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import * as read from '../api/queries'
import type { Graph, Rec } from '../api/types'
import { healthOf } from '../lib/values'
import { Panel } from '../ui/atoms'
import { HEALTH_TEXT, HealthSign, stateName } from '../ui/signs'
import { useClasses } from '../shell/context'
import { NODE_HEIGHT, onlyRun, place, ROW_WIDTH, type Placed } from './layout'

/** Above this many, a picture answers nothing: the list does. */
const MOST_DRAWN = 40

/** Who does it hurt: what the record needs below it, what needs it above it. A list says the same. */
export function GraphPanel({ record, title = 'What it touches', types = 'impact' }: { record: Rec; title?: string; types?: string }) {
  const [depth, setDepth] = useState(2)
  const { data } = useQuery(read.graph(record.class, record.key, 'both', depth, types))
  const classes = useClasses()
  const graph = useMemo(() => data && onlyRun(data, (cls) => classes.get(cls)?.verb === 'know'), [data, classes])
  const [list, setList] = useState(false)
  if (!graph || graph.nodes.length < 2) return null
  const asList = list || graph.nodes.length > MOST_DRAWN
  return (
    <Panel
      title={title}
      pad={asList ? false : true}
      aside={
        <>
          <select aria-label="How many links away" className="bg-transparent hover:text-fg" value={depth} onChange={(e) => setDepth(Number(e.target.value))}>
            {[1, 2, 3, 4].map((d) => (
              <option key={d} value={d}>
                {d === 1 ? '1 link away' : `${d} links away`}
              </option>
            ))}
          </select>
          <button type="button" className="hover:text-fg" aria-pressed={asList} onClick={() => setList(!list)}>
            {asList ? 'Picture' : 'List'}
          </button>
        </>
      }
    >
      {asList ? <GraphList graph={graph} /> : <Picture graph={graph} />}
      {graph.truncated && <p className="text-xs text-fg-3 mt-2">There is more than is shown.</p>}
    </Panel>
  )
}

function Picture({ graph }: { graph: Graph }) {
  const navigate = useNavigate()
  const { nodes, height } = useMemo(() => place(graph), [graph])
  const at = new Map(nodes.map((n) => [n.id, n]))
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll max-h-[420px]" tabIndex={0} role="region" aria-label="Picture of what it touches">
      <svg viewBox={`-3 -3 ${ROW_WIDTH + 6} ${height + 6}`} className="block mx-auto w-full max-w-[440px]" role="group" aria-label={`${nodes.length} records and how they depend on each other`}>
        {graph.links.map((l) => {
          const from = at.get(l.from_id)
          const to = at.get(l.to_id)
          return from && to ? <Edge key={`${l.from_id} ${l.type} ${l.to_id}`} from={from} to={to} type={l.type} /> : null
        })}
        {nodes.map((n) => (
          <Node key={n.id} node={n} root={n.id === graph.root_id} onOpen={() => void navigate({ to: '/r/$cls/$key', params: { cls: n.class, key: n.key }, search: {} })} />
        ))}
      </svg>
    </div>
  )
}

function Edge({ from, to, type }: { from: Placed; to: Placed; type: string }) {
  const hurt = healthOf(to) === 'down' || healthOf(from) === 'down'
  const [top, bottom] = from.y <= to.y ? [from, to] : [to, from]
  const x1 = top.x + top.width / 2
  const x2 = bottom.x + bottom.width / 2
  const y1 = top.y + (top.y === bottom.y ? NODE_HEIGHT / 2 : NODE_HEIGHT)
  const y2 = bottom.y + (top.y === bottom.y ? NODE_HEIGHT / 2 : 0)
  const bend = (y2 - y1) / 2
  return (
    <path d={`M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`} fill="none" stroke={hurt ? 'var(--crit)' : 'var(--line-2)'} strokeWidth="1.4">
      <title>{`${from.title} ${type.replaceAll('-', ' ')} ${to.title}`}</title>
    </path>
  )
}

const STROKE: Record<string, string> = { down: 'var(--crit)', degraded: 'var(--warn)', unknown: 'var(--ctl)', maintenance: 'var(--maint)', up: 'var(--line-2)' }

function Node({ node, root, onOpen }: { node: Placed; root: boolean; onOpen: () => void }) {
  const health = healthOf(node)
  return (
    <g
      role="link"
      tabIndex={0}
      aria-label={`${node.title}, ${node.class}${health ? `, ${health}` : ''}`}
      transform={`translate(${node.x} ${node.y})`}
      onClick={onOpen}
      onKeyDown={(e) => {
        if (e.key === 'Enter') onOpen()
      }}
      className="outline-none focus-visible:[&>rect]:stroke-[var(--accent)] focus-visible:[&>rect]:[stroke-width:2.5] hover:[&>rect]:fill-[var(--hover)]"
    >
      <title>{`${node.title} (${node.class})`}</title>
      <rect width={node.width} height={NODE_HEIGHT} rx="6" fill={root ? 'var(--accent-soft)' : 'var(--raised)'} stroke={root ? 'var(--accent)' : STROKE[health ?? 'up']} strokeWidth={root ? 1.6 : 1.2} />
      {health && (
        <g transform={`translate(9 ${NODE_HEIGHT / 2 - 6})`} className={HEALTH_TEXT[health]}>
          <HealthSign health={health} label={false} />
        </g>
      )}
      <foreignObject x={health ? 26 : 10} y="0" width={node.width - (health ? 32 : 16)} height={NODE_HEIGHT}>
        <div className={`truncate text-xs leading-7 text-fg ${root ? 'font-semibold' : 'font-medium'}`}>{node.title}</div>
      </foreignObject>
    </g>
  )
}

function GraphList({ graph }: { graph: Graph }) {
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll max-h-[420px]" tabIndex={0} role="region" aria-label="List of what it touches">
      <table className="w-full text-left">
        <thead className="label bg-bg sticky top-0">
          <tr>
            <th className="font-medium px-3 py-1">Record</th>
            <th className="font-medium px-2 py-1">Class</th>
            <th className="font-medium px-2 py-1">State</th>
            <th className="font-medium px-3 py-1 text-right">Links away</th>
          </tr>
        </thead>
        <tbody>
          {graph.nodes.toSorted((a, b) => a.depth - b.depth).map((n) => {
            const health = healthOf(n)
            return (
              <tr key={n.id} className="border-t border-line-soft">
                <td className="px-3 py-1">
                  <Link to="/r/$cls/$key" params={{ cls: n.class, key: n.key }} search={{}} className="inline-flex items-center gap-2 hover:underline underline-offset-4">
                    {health && <HealthSign health={health} size={11} />}
                    {n.title}
                  </Link>
                </td>
                <td className="px-2 py-1 text-fg-3">{n.class}</td>
                <td className="px-2 py-1 text-fg-2">{stateName(n.state)}</td>
                <td className="px-3 py-1 text-right num text-fg-3">{n.depth}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
