import { Link } from '@tanstack/react-router'
import type { Rec } from '../api/types'
import { healthOf, show } from '../lib/values'
import { useClasses } from '../shell/context'
import { Panel } from '../ui/atoms'
import { HEALTH_ORDER, HealthSign } from '../ui/signs'
import { Empty, Skeleton } from '../ui/states'
import { More } from './More'
import { useRecords } from './useRecords'

const HOSTS = 6
const APPS = 24
/** Facts of a host that say most about it, when it has them. */
const FACTS = ['os_name', 'os_version', 'kernel', 'architecture', 'cpu_count', 'memory_bytes', 'virtualisation', 'environment']

const rank = (r: Rec): number => HEALTH_ORDER[healthOf(r) ?? 'unknown']
const worstFirst = (a: Rec, b: Rec): number => rank(a) - rank(b) || a.key.localeCompare(b.key, 'en', { numeric: true })

/** What runs here: machines with what they are, and what runs on them. */
export function RunsHere() {
  const classes = useClasses()
  const hosts = useRecords('host', 'state:open', undefined, HOSTS)
  const apps = useRecords('application', 'state:open', undefined, APPS)
  const fields = classes.get('host')?.fields ?? []
  const facts = (r: Rec): string =>
    FACTS.map((name) => {
      const value = show(r.fields[name], fields.find((f) => f.name === name))
      return value && name.startsWith('cpu') ? `${value} processors` : value
    })
      .filter(Boolean)
      .join(' · ')
  return (
    <Panel title="What runs here" pad={false} aside={<More cls="host">{hosts.total > HOSTS ? `all ${hosts.total} hosts` : 'hosts'}</More>}>
      {hosts.pending ? (
        <Skeleton rows={3} height={38} label="Loading hosts" />
      ) : hosts.rows.length ? (
        <ul>
          {hosts.rows.toSorted(worstFirst).map((h) => (
            <li key={h.key} className="border-t border-line-soft">
              <Link to="/r/$cls/$key" params={{ cls: 'host', key: h.key }} search={{}} className="flex items-center gap-2.5 min-h-9 max-lg:min-h-11 px-3 hover:bg-hover min-w-0">
                <HealthSign health={healthOf(h) ?? 'unknown'} />
                <span className="font-medium shrink-0">{h.key}</span>
                <span className="text-xs text-fg-3 truncate">{facts(h)}</span>
              </Link>
            </li>
          ))}
        </ul>
      ) : (
        <Empty title="No machine is known yet" text="The agent tells of its own machine within a minute of the start." />
      )}
      {apps.rows.length > 0 && (
        <div className="border-t border-line-soft px-3 py-2.5 flex flex-wrap gap-1.5">
          {apps.rows.toSorted(worstFirst).map((a) => (
            <Link key={a.key} to="/r/$cls/$key" params={{ cls: 'application', key: a.key }} search={{}} className="inline-flex items-center gap-1.5 h-6 max-lg:h-10 px-2 rounded border border-line hover:bg-hover text-xs">
              <HealthSign health={healthOf(a) ?? 'unknown'} size={10} />
              {a.title}
              {Boolean(a.fields.version) && <span className="text-fg-3">{show(a.fields.version)}</span>}
            </Link>
          ))}
          {apps.total > APPS && (
            <span className="text-xs text-fg-3 self-center">
              <More cls="application">{`${apps.total - APPS} more`}</More>
            </span>
          )}
        </div>
      )}
    </Panel>
  )
}
