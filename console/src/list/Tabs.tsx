import { useQuery } from '@tanstack/react-query'
import { BookmarkPlus } from 'lucide-react'
import * as read from '../api/queries'
import { IconButton } from '../ui/atoms'
import type { View } from './views'

/** Views as tabs, with the number key of each in its title and how many records each has. */
export function Tabs({ cls, views, current, onView, onSave }: { cls: string; views: View[]; current?: View; onView: (view: View) => void; onSave: () => void }) {
  return (
    <div className="flex items-center min-w-0">
      <div role="tablist" aria-label="Views" className="scroll flex items-center gap-1 px-3 h-10 max-lg:h-12 [scrollbar-width:none] min-w-0">
        {views.map((view, i) => (
          <button
            key={view.id}
            role="tab"
            type="button"
            aria-selected={view === current}
            title={`${view.query || 'no filter'} (${i + 1})`}
            onClick={() => onView(view)}
            className={`inline-flex items-center gap-1.5 h-7 px-2.5 rounded whitespace-nowrap max-lg:h-10 ${view === current ? 'bg-accent-soft text-fg font-medium' : 'text-fg-2 hover:bg-hover'}`}
          >
            {view.title}
            <Count cls={cls} query={view.query} />
          </button>
        ))}
      </div>
      {!current && (
        <IconButton label="Save this filter as a view" onClick={onSave}>
          <BookmarkPlus size={15} />
        </IconButton>
      )}
    </div>
  )
}

function Count({ cls, query }: { cls: string; query: string }) {
  const { data } = useQuery(read.counts(cls, 'state', query))
  if (!data) return null
  return <span className="text-xs num text-fg-3">{data.counts.reduce((sum, c) => sum + c.count, 0).toLocaleString('en')}</span>
}
