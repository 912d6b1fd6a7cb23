import { useInfiniteQuery } from '@tanstack/react-query'
import * as read from '../api/queries'
import { actorName } from '../lib/actor'
import { useClass } from '../shell/context'
import { Time } from '../ui/Time'
import { deed, differences, inWords } from './words'

/** The last few things that happened to a record, newest first. */
export function JournalTail({ cls, recordKey, now, most }: { cls: string; recordKey: string; now: number; most: number }) {
  const def = useClass(cls)
  const { data } = useInfiniteQuery(read.journalOf(cls, recordKey))
  const entries = (data?.pages.flatMap((p) => p.entries) ?? []).toSorted((a, b) => b.seq - a.seq).slice(0, most)
  return (
    <ol className="space-y-2">
      {entries.map((e) => (
        <li key={e.seq} className="text-fg-2 flex gap-2">
          <Time at={e.time} now={now} as="ago" className="text-xs text-fg-3 w-14 shrink-0" />
          <span className="min-w-0 break-words line-clamp-3">
            <span className="font-medium">{actorName(e.actor)}</span> {e.note ? e.note : [deed(e, def), ...differences(e).slice(0, 2).map((d) => inWords(d, def))].join(': ')}
          </span>
        </li>
      ))}
    </ol>
  )
}
