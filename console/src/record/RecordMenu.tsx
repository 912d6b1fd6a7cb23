import { Menu } from '@base-ui/react/menu'
import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { MoreHorizontal } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import * as acts from '../api/acts'
import { API, at } from '../api/http'
import type { ClassDef, Rec, TransitionDef } from '../api/types'
import { Labelled } from '../ui/Labelled'
import { Modal } from '../ui/Modal'
import { did, failed } from '../ui/toast'
import { setOwner } from './act'

const ITEM = 'flex items-center h-8 px-2.5 rounded outline-none data-[highlighted]:bg-accent-soft max-lg:h-11'

export function RecordMenu({ cls, record, more, onStep }: { cls: ClassDef; record: Rec; more: TransitionDef[]; onStep: (t: TransitionDef) => void }) {
  const client = useQueryClient()
  const [deleting, setDeleting] = useState(false)
  const release = async (): Promise<void> => {
    try {
      await setOwner(client, record, null)
    } catch (error) {
      failed('It is still yours', error)
    }
  }
  return (
    <>
      <Menu.Root>
        <Menu.Trigger className="icon-btn" aria-label="More" title="More">
          <MoreHorizontal size={16} />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner sideOffset={4} align="end" className="z-50 outline-none">
            <Menu.Popup className="rise popup min-w-[210px] p-1">
              {more.map((t) => (
                <Menu.Item key={t.name} className={ITEM} onClick={() => onStep(t)}>
                  {t.title}
                </Menu.Item>
              ))}
              {record.owner && (
                <Menu.Item className={ITEM} onClick={() => void release()}>
                  Give it up
                </Menu.Item>
              )}
              <Menu.Item className={ITEM} onClick={() => void navigator.clipboard?.writeText(location.href).then(() => did('The address is copied'))}>
                Copy the address
              </Menu.Item>
              <Menu.Item className={ITEM} render={<a href={API + at(record.class, record.key)} target="_blank" rel="noreferrer" aria-label="Open as JSON" />}>
                Open as JSON
              </Menu.Item>
              <Menu.Item className={`${ITEM} text-crit`} onClick={() => setDeleting(true)}>
                Delete…
              </Menu.Item>
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
      {deleting && <Delete cls={cls} record={record} onClose={() => setDeleting(false)} />}
    </>
  )
}

/** Deleting is final for links and rules that name the record: the key is typed, not clicked. */
function Delete({ cls, record, onClose }: { cls: ClassDef; record: Rec; onClose: () => void }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const [typed, setTyped] = useState('')
  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      await acts.remove(record)
      did(`${record.key} is deleted; its journal stays`)
      void client.invalidateQueries({ queryKey: ['records', cls.name] })
      await navigate({ to: '/r/$cls', params: { cls: cls.name }, search: {} })
    } catch (error) {
      failed(`${record.key} was not deleted`, error)
    }
    onClose()
  }
  return (
    <Modal open onClose={onClose} title={`Delete ${record.key}`} width={440}>
      <form onSubmit={(e) => void submit(e)} className="p-4 space-y-4">
        <p className="text-fg-2">
          {record.title} disappears from lists, links and rules. What happened to it stays in the journal.
          {record.links?.length ? ` ${record.links.length} links go with it.` : ''}
        </p>
        <Labelled label={`Type ${record.key} to delete it`}>{(parts) => <input {...parts} className="input font-mono" value={typed} onChange={(e) => setTyped(e.target.value)} autoFocus spellCheck={false} />}</Labelled>
        <div className="flex justify-end gap-2">
          <button type="button" className="btn" onClick={onClose}>
            Keep it
          </button>
          <button type="submit" className="btn btn-danger" disabled={typed !== record.key}>
            Delete {cls.title.toLowerCase()}
          </button>
        </div>
      </form>
    </Modal>
  )
}
