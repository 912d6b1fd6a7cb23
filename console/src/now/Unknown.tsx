import { Link } from '@tanstack/react-router'
import type { Rec } from '../api/types'
import { show } from '../lib/values'
import { Panel } from '../ui/atoms'
import { HealthSign } from '../ui/signs'
import { Skeleton } from '../ui/states'
import { Time } from '../ui/Time'
import { More } from './More'

const MOST = 12

/** What nobody measures right now. Unknown is a state of its own: never green, never hidden. */
export function Unknown({ checks, total, pending, now }: { checks: Rec[]; total: number; pending: boolean; now: number }) {
  return (
    <Panel title="Not known" pad={false} aside={<More cls="check" filter="state:UNKNOWN">{total > MOST ? `all ${total}` : 'unknown checks'}</More>}>
      {pending && <Skeleton rows={2} height={38} label="Loading unknown checks" />}
      {!pending && !checks.length && <p className="px-3 pb-3 text-fg-3">Every check has measured something lately.</p>}
      <ul>
        {checks.slice(0, MOST).map((c) => (
          <li key={c.key} className="border-t border-line-soft">
            <Link to="/r/$cls/$key" params={{ cls: c.class, key: c.key }} search={{}} className="grid grid-cols-[14px_minmax(0,1fr)_auto] items-center gap-x-2.5 min-h-[38px] max-lg:min-h-11 px-3 hover:bg-hover">
              <HealthSign health="unknown" />
              <span className="truncate">
                {c.title} {Boolean(c.fields.last_summary) && <span className="text-xs text-fg-3">{show(c.fields.last_summary)}</span>}
              </span>
              <Time at={c.state_since ?? c.updated} now={now} as="ago" className="text-xs text-fg-3" />
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
