import { useQueryClient } from '@tanstack/react-query'
import { Link as To } from '@tanstack/react-router'
import { Plus, X } from 'lucide-react'
import { useState } from 'react'
import * as acts from '../api/acts'
import type { ClassDef, Head, Link, Rec } from '../api/types'
import { RefPicker } from '../form/RefPicker'
import { groupBy } from '../lib/group'
import { healthOf, sentence } from '../lib/values'
import { useClasses } from '../shell/context'
import { IconButton, Panel } from '../ui/atoms'
import { CHECK_HEALTH, HealthSign, LIVING, stateName } from '../ui/signs'
import { did, failed } from '../ui/toast'
import { refresh } from './act'

/** What the record is tied to, by kind of tie; ties can be made and taken away. */
export function LinksPanel({ cls, record }: { cls: ClassDef; record: Rec }) {
  const classes = useClasses()
  const client = useQueryClient()
  const [adding, setAdding] = useState(false)
  const groups = groupBy(record.links ?? [], (l) => `${l.direction} ${l.type}`)

  function titleOf(link: Link): string {
    const def = link.direction === 'out' ? cls.links.find((d) => d.type === link.type) : classes.get(link.class)?.links.find((d) => d.type === link.type)
    return (link.direction === 'out' ? def?.title : def?.reverse_title) ?? sentence(link.type)
  }

  async function change(link: Pick<Link, 'type' | 'direction' | 'class' | 'key'>, add: boolean, offer = true): Promise<void> {
    const [from, to] = link.direction === 'out' ? [record, link] : [link, record]
    try {
      await (add ? acts.link : acts.unlink)(from, link.type, to)
      refresh(client, record)
      if (offer) did(add ? `${link.key} is linked` : `${link.key} is not linked any more`, () => change(link, !add, false))
    } catch (error) {
      failed(add ? 'The link was not made' : 'The link stays', error)
    }
  }

  return (
    <Panel
      title="Links"
      aside={
        cls.links.length > 0 && (
          <button type="button" className="btn btn-ghost -mr-2" onClick={() => setAdding(!adding)} aria-expanded={adding}>
            <Plus size={14} /> Link
          </button>
        )
      }
    >
      {adding && (
        <AddLink
          cls={cls}
          onAdd={(type, head) => {
            setAdding(false)
            void change({ type, direction: 'out', class: head.class, key: head.key }, true)
          }}
        />
      )}
      {!groups.size && !adding && <p className="text-fg-3">Tied to nothing yet.</p>}
      <div className="space-y-2.5">
        {[...groups].map(([id, links]) => (
          <div key={id}>
            <h3 className="label mb-0.5">{titleOf(links[0]!)}</h3>
            <ul>
              {links.map((l) => (
                <LinkRow key={l.key} link={l} onRemove={() => void change(l, false)} />
              ))}
            </ul>
          </div>
        ))}
      </div>
    </Panel>
  )
}

export function LinkRow({ link, onRemove }: { link: Link; onRemove?: () => void }) {
  const health = healthOf(link)
  return (
    <li className="group relative flex items-center gap-2 min-h-7 min-w-0 max-lg:min-h-11">
      {health ? <HealthSign health={health} size={11} /> : CHECK_HEALTH[link.state] ? <HealthSign health={CHECK_HEALTH[link.state]!} size={11} /> : <span className="w-[11px] shrink-0" />}
      <To to="/r/$cls/$key" params={{ cls: link.class, key: link.key }} search={{}} className="truncate hover:underline underline-offset-4">
        {link.title}
      </To>
      {!LIVING.test(link.state) && <span className="ml-auto text-xs text-fg-3 truncate shrink-0 group-hover:pr-7 pointer-coarse:pr-11">{stateName(link.state)}</span>}
      {onRemove && (
        <IconButton label={`Take away the link to ${link.key}`} onClick={onRemove} className="absolute right-0 opacity-0 group-hover:opacity-100 focus-visible:opacity-100 pointer-coarse:opacity-100">
          <X size={13} />
        </IconButton>
      )}
    </li>
  )
}

function AddLink({ cls, onAdd }: { cls: ClassDef; onAdd: (type: string, head: Head) => void }) {
  const [type, setType] = useState(cls.links[0]?.type ?? '')
  const def = cls.links.find((l) => l.type === type)
  return (
    <div className="grid grid-cols-[auto_minmax(0,1fr)] gap-2 mb-3">
      <select aria-label="Kind of link" className="input !w-auto" value={type} onChange={(e) => setType(e.target.value)}>
        {cls.links.map((l) => (
          <option key={l.type} value={l.type}>
            {l.title}
          </option>
        ))}
      </select>
      <RefPicker id="add-link" aria-label={`${def?.title ?? 'Link'} to`} classes={def?.to ?? []} value={null} onChange={(_, head) => head && onAdd(type, head)} />
      {def?.help && <p className="col-span-2 text-2xs text-fg-3">{def.help}</p>}
    </div>
  )
}
