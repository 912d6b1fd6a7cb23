import { useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent, type KeyboardEvent } from 'react'
import * as acts from '../api/acts'
import { Problem } from '../api/http'
import type { ClassDef, Fields as Values, Rec } from '../api/types'
import { changes, missing } from '../form/draft'
import { FieldsForm } from '../form/FieldsForm'
import { useKeys } from '../lib/keys'
import { empty } from '../lib/values'
import { Kbd, Panel } from '../ui/atoms'
import { did, failed } from '../ui/toast'
import { refresh } from './act'
import { Conflict } from './Conflict'
import { Value } from './Value'

/** Results of a run have a panel of their own. */
const TOLD_ELSEWHERE = new Set(['results'])

/** The fields of a record: to read, and to change in place. A change made on an old version is never forced. */
export function FieldsPanel({ cls, record }: { cls: ClassDef; record: Rec }) {
  const [editing, setEditing] = useState(false)
  useKeys({ e: () => setEditing(true) })
  return (
    <Panel
      title="Fields"
      aside={
        !editing && (
          <button type="button" className="btn btn-ghost -mr-2" onClick={() => setEditing(true)}>
            Edit <Kbd>e</Kbd>
          </button>
        )
      }
    >
      {editing ? <EditForm cls={cls} record={record} onClose={() => setEditing(false)} /> : <Facts cls={cls} record={record} />}
    </Panel>
  )
}

function Facts({ cls, record }: { cls: ClassDef; record: Rec }) {
  const filled = cls.fields.filter((f) => !empty(record.fields[f.name]) && !TOLD_ELSEWHERE.has(f.name))
  const open = cls.fields.filter((f) => empty(record.fields[f.name]) && !f.computed)
  return (
    <>
      <dl className="grid grid-cols-[minmax(104px,30%)_minmax(0,1fr)] gap-x-4 gap-y-1.5">
        {filled.map((f) => (
          <div key={f.name} className="contents">
            <dt className="text-fg-3" title={f.help || undefined}>
              {f.title}
            </dt>
            <dd className={`break-words whitespace-pre-wrap ${f.type === 'duration' ? 'font-mono text-xs' : ''}`}>
              <Value value={record.fields[f.name]} field={f} />
            </dd>
          </div>
        ))}
      </dl>
      {open.length > 0 && <p className="text-xs text-fg-3 mt-3">Not filled in: {open.map((f) => f.title.toLowerCase()).join(', ')}.</p>}
    </>
  )
}

function EditForm({ cls, record, onClose }: { cls: ClassDef; record: Rec; onClose: () => void }) {
  const client = useQueryClient()
  // The version on which the editing began: the stream may bring a newer one meanwhile.
  const [base, setBase] = useState(record)
  const [values, setValues] = useState<Values>(record.fields)
  const [errors, setErrors] = useState<Record<string, string>>({})
  const [conflict, setConflict] = useState<Rec | null>(null)
  const [busy, setBusy] = useState(false)
  const mine = changes(base.fields, values)
  const count = Object.keys(mine).length

  async function save(from: Rec, patch: Values): Promise<void> {
    setBusy(true)
    try {
      if (Object.keys(patch).length) {
        await acts.update(record, from.version, { fields: patch })
        refresh(client, record)
        const entry = await acts.lastEntry(record.class, record.key, 'update')
        did(`${record.key} is saved`, entry && (async () => {
          await acts.undo(record.class, record.key, entry.seq)
          refresh(client, record)
        }))
      }
      onClose()
    } catch (error) {
      setBusy(false)
      if (error instanceof Problem && error.status === 412 && error.body.current) setConflict(error.body.current)
      else if (error instanceof Problem && Object.keys(error.byField()).length) setErrors(error.byField())
      else failed('It was not saved', error)
    }
  }

  function submit(event?: FormEvent): void {
    event?.preventDefault()
    const gaps = missing(cls.fields, values)
    setErrors(gaps)
    if (!Object.keys(gaps).length && !busy) void save(base, mine)
  }
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit()
    if (event.key === 'Escape' && !event.defaultPrevented && !count) onClose()
  }

  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <form onSubmit={submit} onKeyDown={onKey} aria-label={`Fields of ${record.key}`}>
      <FieldsForm fields={cls.fields.filter((f) => !TOLD_ELSEWHERE.has(f.name))} values={values} errors={errors} onChange={setValues} />
      {record.version > base.version && !conflict && (
        <p role="status" className="mt-3 text-warn bg-warn-soft rounded px-2.5 py-1.5">
          Somebody else has changed this since you began. When you save, you choose field by field.
        </p>
      )}
      <div className="flex items-center gap-2 mt-4">
        <button type="submit" className="btn btn-primary" disabled={busy}>
          Save <Kbd>Ctrl ↵</Kbd>
        </button>
        <button type="button" className="btn" onClick={onClose}>
          Cancel
        </button>
        <span className="text-xs text-fg-3">{count ? `${count} changed` : 'Nothing changed yet'}</span>
      </div>
      {conflict && (
        <Conflict
          cls={cls}
          base={base}
          current={conflict}
          mine={mine}
          onClose={() => setConflict(null)}
          onChoose={(patch) => {
            setBase(conflict)
            setValues({ ...conflict.fields, ...patch })
            setConflict(null)
            void save(conflict, patch)
          }}
        />
      )}
    </form>
  )
}
