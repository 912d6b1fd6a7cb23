import { useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import * as acts from '../api/acts'
import { useMe } from '../shell/context'
import { Labelled } from '../ui/Labelled'
import { Modal } from '../ui/Modal'
import { did, failed } from '../ui/toast'

/** Gives the filter, sort order and columns on screen a name. */
export function SaveView({ cls, query, sort, columns, onClose }: { cls: string; query: string; sort?: string; columns?: string[]; onClose: () => void }) {
  const client = useQueryClient()
  const me = useMe()
  const [title, setTitle] = useState('')
  const [shared, setShared] = useState(false)

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      // A view that is not shared is found again by its owner.
      await acts.create('saved-view', { owner: me, fields: { name: title, lists: cls, query, shared, ...(sort ? { sort } : {}), ...(columns ? { columns } : {}) } })
      await client.invalidateQueries({ queryKey: ['records', 'saved-view'] })
      did(`View “${title}” is saved`)
      onClose()
    } catch (error) {
      failed('The view was not saved', error)
    }
  }

  return (
    <Modal open onClose={onClose} title="Save this view" width={440}>
      <form onSubmit={(e) => void submit(e)} className="p-4 space-y-4">
        <Labelled label="Name" help={query || 'No filter'}>
          {(parts) => <input {...parts} className="input" value={title} onChange={(e) => setTitle(e.target.value)} autoFocus />}
        </Labelled>
        <label className="flex items-center gap-2">
          <input type="checkbox" className="accent-[var(--accent)]" checked={shared} onChange={(e) => setShared(e.target.checked)} />
          Everybody sees it
        </label>
        <div className="flex justify-end gap-2">
          <button type="button" className="btn" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="btn btn-primary" disabled={!title.trim()}>
            Save view
          </button>
        </div>
      </form>
    </Modal>
  )
}
