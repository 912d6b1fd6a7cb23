import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { X } from 'lucide-react'
import * as read from '../api/queries'
import type { ClassDef } from '../api/types'
import { empty, healthOf, show } from '../lib/values'
import { JournalTail } from '../record/JournalTail'
import { IconButton, Kbd } from '../ui/atoms'
import { HEALTH_NAME, HealthSign, Priority, State } from '../ui/signs'
import { Failed, Skeleton } from '../ui/states'
import { Time } from '../ui/Time'
import { Owner } from './Cell'

/** A record beside its list: enough to decide whether to open it. */
export function Peek({ cls, recordKey, now, onClose }: { cls: ClassDef; recordKey: string; now: number; onClose: () => void }) {
  const { data: record, error, refetch } = useQuery(read.record(cls.name, recordKey))
  return (
    <aside aria-label={`Peek ${recordKey}`} className="w-[372px] shrink-0 border-l border-line flex flex-col min-h-0 max-lg:hidden">
      <div className="flex items-center gap-2 h-10 pl-4 pr-2 border-b border-line shrink-0">
        <span className="font-mono text-xs text-fg-3 truncate">{recordKey}</span>
        <Link to="/r/$cls/$key" params={{ cls: cls.name, key: recordKey }} search={{}} className="ml-auto btn btn-ghost">
          Open <Kbd>↵</Kbd>
        </Link>
        <IconButton label="Close peek (Esc)" onClick={onClose}>
          <X size={15} />
        </IconButton>
      </div>
      {error ? (
        <Failed error={error} what={recordKey} retry={() => void refetch()} />
      ) : !record ? (
        <Skeleton rows={6} />
      ) : (
        // Reached by keyboard: a region that scrolls must be.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="scroll p-4 space-y-4" tabIndex={0} role="region" aria-label="What is known">
          <div className="flex gap-2 items-start">
            {typeof record.fields.priority === 'number' && (
              <span className="mt-0.5">
                <Priority n={record.fields.priority} />
              </span>
            )}
            <h2 className="text-md font-semibold leading-5 text-pretty">{record.title}</h2>
          </div>
          <dl className="grid grid-cols-[110px_minmax(0,1fr)] gap-y-2">
            <Fact name="State">
              <State cls={cls} state={record.state} open={record.open} />
            </Fact>
            <Fact name="Owner">{record.owner ? <Owner owner={record.owner} /> : <span className="text-fg-3">Nobody yet</span>}</Fact>
            {record.health && (
              <Fact name="Health">
                <span className="inline-flex items-center gap-1.5">
                  <HealthSign health={healthOf(record)!} label={false} />
                  {HEALTH_NAME[record.health.state]} for <Time at={record.health.since} now={now} as="ago" />
                </span>
                {record.health.reason && <span className="block text-xs text-fg-3">{record.health.reason}</span>}
              </Fact>
            )}
            {cls.fields
              .filter((f) => !empty(record.fields[f.name]) && f.name !== 'title' && f.name !== 'priority')
              .slice(0, 10)
              .map((f) => (
                <Fact key={f.name} name={f.title}>
                  <span className="break-words line-clamp-4">{show(record.fields[f.name], f)}</span>
                </Fact>
              ))}
            <Fact name="Changed">
              <Time at={record.updated} now={now} />
            </Fact>
          </dl>
          {record.links && record.links.length > 0 && (
            <section>
              <h3 className="label mb-1.5">Linked</h3>
              <ul className="space-y-1">
                {record.links.slice(0, 8).map((l) => (
                  <li key={`${l.type}${l.direction}${l.key}`} className="flex items-center gap-2 min-w-0">
                    <span className="text-xs text-fg-3 shrink-0">{l.type.replaceAll('-', ' ')}</span>
                    <Link to="/r/$cls/$key" params={{ cls: l.class, key: l.key }} search={{}} className="truncate link">
                      {l.title}
                    </Link>
                  </li>
                ))}
              </ul>
            </section>
          )}
          <section>
            <h3 className="label mb-1.5">Latest</h3>
            <JournalTail cls={cls.name} recordKey={recordKey} now={now} most={5} />
          </section>
        </div>
      )}
    </aside>
  )
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <>
      <dt className="text-fg-3">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  )
}
