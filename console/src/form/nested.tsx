/** Fields that hold fields: lists, maps and groups. Each part is again a FieldInput. */
import { Plus, X } from 'lucide-react'
import type { ReactNode } from 'react'
import type { Field, Fields, Json } from '../api/types'
import { show } from '../lib/values'
import { FieldInput, type InputProps } from './FieldInput'

const TEXT: Field = { name: 'value', title: 'Value', help: '', type: 'text' }

function Frame({ field, error, children }: { field: Field; error?: string; children: ReactNode }) {
  return (
    <fieldset className="min-w-0">
      <legend className="text-xs font-medium text-fg-2 mb-1">
        {field.title}
        {field.required && <span className="text-fg-3 font-normal"> (needed)</span>}
      </legend>
      {children}
      {error && (
        <p role="alert" className="text-xs text-crit mt-1">
          {error}
        </p>
      )}
      {field.help && <p className="text-2xs text-fg-3 mt-1">{field.help}</p>}
    </fieldset>
  )
}

function Remove({ label, onClick }: { label: string; onClick: () => void }) {
  return (
    <button type="button" aria-label={label} title={label} className="icon-btn mt-0.5" onClick={onClick}>
      <X size={14} />
    </button>
  )
}

function Add({ children, onClick }: { children: ReactNode; onClick: () => void }) {
  return (
    <button type="button" className="btn btn-ghost -ml-1.5 mt-1" onClick={onClick}>
      <Plus size={14} /> {children}
    </button>
  )
}

/** Without its label: the frame around has it. */
function Bare(props: InputProps & { label: string }) {
  return (
    <div className="flex-1 min-w-0 [&_label]:sr-only [&_div:has(>label)]:m-0">
      <FieldInput {...props} field={{ ...props.field, title: props.label, help: '', required: false }} />
    </div>
  )
}

export function ListInput({ field, value, onChange, error, errors, path, readOnly }: InputProps) {
  const items = Array.isArray(value) ? value : []
  const item = field.item ?? TEXT
  if (readOnly) return <Frame field={field}>{items.length ? <p className="text-fg-2">{show(items, field)}</p> : <p className="text-fg-3">None</p>}</Frame>
  return (
    <Frame field={field} error={error}>
      <ul className="space-y-1.5">
        {items.map((one, i) => (
          <li key={i} className="flex items-start gap-1">
            <Bare label={`${field.title}, number ${i + 1}`} field={item} value={one} path={`${path}.${i}`} errors={errors} error={errors?.[`${path}.${i}`]} onChange={(v) => onChange(items.map((old, n) => (n === i ? v : old)))} />
            <Remove label={`Remove number ${i + 1}`} onClick={() => onChange(items.filter((_, n) => n !== i))} />
          </li>
        ))}
      </ul>
      <Add onClick={() => onChange([...items, item.type === 'group' ? {} : ''])}>Add {item.title.toLowerCase()}</Add>
    </Frame>
  )
}

export function MapInput({ field, value, onChange, error, errors, path, readOnly }: InputProps) {
  const pairs = Object.entries((value ?? {}) as Fields)
  const item = field.item ?? TEXT
  const put = (next: [string, Json][]): void => onChange(Object.fromEntries(next))
  if (readOnly) return <Frame field={field}>{pairs.length ? <p className="text-fg-2">{show(value, field)}</p> : <p className="text-fg-3">None</p>}</Frame>
  return (
    <Frame field={field} error={error}>
      <ul className="space-y-1.5">
        {pairs.map(([name, one], i) => (
          <li key={i} className="flex items-start gap-1.5">
            <input aria-label={`${field.title}, name ${i + 1}`} className="input !w-[38%] font-mono text-xs" value={name} spellCheck={false} onChange={(e) => put(pairs.map((p, n) => (n === i ? [e.target.value, p[1]] : p)))} />
            <Bare label={`${field.title}, ${name || `value ${i + 1}`}`} field={item} value={one} path={`${path}.${name}`} errors={errors} error={errors?.[`${path}.${name}`]} onChange={(v) => put(pairs.map((p, n) => (n === i ? [p[0], v] : p)))} />
            <Remove label={`Remove ${name || `pair ${i + 1}`}`} onClick={() => put(pairs.filter((_, n) => n !== i))} />
          </li>
        ))}
      </ul>
      {/* A second pair without a name would overwrite the first. */}
      {!pairs.some(([name]) => !name) && <Add onClick={() => put([...pairs, ['', item.type === 'group' ? {} : '']])}>Add a pair</Add>}
    </Frame>
  )
}

export function GroupInput({ field, value, onChange, error, errors, path, readOnly }: InputProps) {
  const values = (value ?? {}) as Fields
  return (
    <Frame field={field} error={error}>
      <div className="grid grid-cols-1 @min-[520px]:grid-cols-2 gap-3 rounded border border-line bg-bg p-3">
        {(field.fields ?? []).map((part) => (
          <FieldInput key={part.name} field={part} value={values[part.name]} path={`${path}.${part.name}`} errors={errors} error={errors?.[`${path}.${part.name}`]} readOnly={readOnly || part.computed} onChange={(v) => onChange({ ...values, [part.name]: v })} />
        ))}
      </div>
    </Frame>
  )
}
