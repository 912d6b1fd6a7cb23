import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import * as read from '../api/queries'
import type { ClassDef, HealthState } from '../api/types'
import { useClasses } from '../shell/context'
import { Panel } from '../ui/atoms'
import { HEALTH_NAME, HEALTH_ORDER, HealthSign } from '../ui/signs'
import { Time } from '../ui/Time'
import { useNow } from '../lib/time'
import { More } from './More'
import { useRecords } from './useRecords'

const CLASSES = ['service', 'application', 'host', 'database', 'network-device']
const ORDER = (Object.keys(HEALTH_ORDER) as HealthState[]).toSorted((a, b) => HEALTH_ORDER[a] - HEALTH_ORDER[b])

/** How well everything is, by class: counts first, then every one that is not well, by name. */
export function HealthOverview() {
  const classes = useClasses()
  const shown = CLASSES.map((name) => classes.get(name)).filter((c) => c !== undefined)
  return (
    <Panel title="Health" pad={false} aside={<More cls="check" filter="-state:OK">checks not OK</More>}>
      {shown.map((cls) => (
        <ClassHealth key={cls.name} cls={cls} />
      ))}
    </Panel>
  )
}

function ClassHealth({ cls }: { cls: ClassDef }) {
  const { data } = useQuery(read.counts(cls.name, 'health', 'state:open'))
  const bad = useRecords(cls.name, 'state:open health:down,degraded,unknown', undefined, 20)
  const now = useNow()
  const of = (h: HealthState | null): number => data?.counts.find((c) => (c.value ?? null) === h)?.count ?? 0
  const total = data?.counts.reduce((sum, c) => sum + c.count, 0) ?? 0
  if (data && !total) return null
  const sorted = bad.rows.toSorted((a, b) => HEALTH_ORDER[a.health?.state ?? 'unknown'] - HEALTH_ORDER[b.health?.state ?? 'unknown'])
  return (
    <section className="border-t border-line-soft">
      <h3 className="flex items-center gap-3 h-9 px-3">
        <Link to="/r/$cls" params={{ cls: cls.name }} search={{}} className="font-medium hover:underline underline-offset-4">
          {cls.plural}
        </Link>
        <span className="ml-auto flex items-center gap-3 text-xs num">
          {ORDER.filter((h) => of(h) > 0).map((h) => (
            <Link key={h} to="/r/$cls" params={{ cls: cls.name }} search={{ q: `state:open health:${h}` }} title={HEALTH_NAME[h]} className="inline-flex items-center gap-1 hover:underline underline-offset-4 max-lg:min-h-11">
              <HealthSign health={h} size={11} /> {of(h)}
            </Link>
          ))}
          {of(null) > 0 && <span className="text-fg-3">{of(null)} not measured</span>}
        </span>
      </h3>
      <ul>
        {sorted.map((r) => (
          <li key={r.key}>
            <Link to="/r/$cls/$key" params={{ cls: r.class, key: r.key }} search={{}} className="grid grid-cols-[14px_minmax(0,1fr)_auto] items-center gap-x-2.5 min-h-8 max-lg:min-h-11 px-3 hover:bg-hover">
              <HealthSign health={r.health?.state ?? 'unknown'} />
              <span className="truncate">
                {r.title === r.fields.hostname ? r.key : r.title}
                {r.health?.reason && <span className="text-xs text-fg-3"> {r.health.reason}</span>}
              </span>
              {r.health && <Time at={r.health.since} now={now} as="ago" className="text-xs text-fg-3" />}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  )
}
