import type { Field, Json } from '../api/types'
import { Labelled } from '../ui/Labelled'
import { GroupInput, ListInput, MapInput } from './nested'
import { OpenInput } from './OpenInput'
import { NumberInput } from './NumberInput'
import { RefPicker } from './RefPicker'
import { TimeInput } from './TimeInput'

export interface InputProps {
  field: Field
  value: Json | undefined
  onChange: (value: Json) => void
  error?: string
  /** All messages, for parts of nested fields; `path` is where this one stands. */
  errors?: Record<string, string>
  path: string
  readOnly?: boolean
}

/** The control for one field, chosen by its type. */
export function FieldInput(props: InputProps) {
  const { field, value, onChange, error, readOnly } = props
  if (field.type === 'list') return <ListInput {...props} />
  if (field.type === 'map') return <MapInput {...props} />
  if (field.type === 'group') return field.fields?.length ? <GroupInput {...props} /> : <OpenInput {...props} />
  const help = [field.help, field.type === 'duration' ? 'A span such as 30s, 5m or 1h30m.' : '', field.computed ? 'Computed.' : ''].filter(Boolean).join(' ') || undefined
  const shared = { error, help, required: field.required, aside: field.unit ?? undefined, label: field.title }
  if (field.type === 'bool') return <BoolInput {...props} help={help} />
  return (
    <Labelled {...shared}>
      {(parts) => {
        const common = { ...parts, readOnly, disabled: readOnly && field.type === 'enum' }
        switch (field.type) {
          case 'enum':
            return (
              <select {...parts} className="input" disabled={readOnly} value={String(value ?? '')} onChange={(e) => onChange(e.target.value || null)}>
                {(!field.required || !value) && <option value="">{field.required ? 'Choose…' : '(none)'}</option>}
                {(field.values ?? []).map((v) => (
                  <option key={v} value={v}>
                    {v}
                  </option>
                ))}
              </select>
            )
          case 'int':
          case 'float':
          case 'bytes':
            return <NumberInput {...common} field={field} value={value} onChange={onChange} />
          case 'time':
            return <TimeInput {...common} value={typeof value === 'string' ? value : ''} onChange={onChange} />
          case 'ref':
            return <RefPicker {...parts} classes={field.class ?? []} value={typeof value === 'string' ? value : null} onChange={onChange} readOnly={readOnly} />
          default:
            return field.multiline ? (
              <textarea {...common} className="input h-auto py-1.5 min-h-[4.5rem] field-sizing-content" rows={3} value={String(value ?? '')} onChange={(e) => onChange(e.target.value)} />
            ) : (
              <input {...common} className={`input ${field.type === 'duration' ? 'font-mono text-xs' : ''}`} value={typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '')} pattern={field.pattern} spellCheck={false} onChange={(e) => onChange(e.target.value)} />
            )
        }
      }}
    </Labelled>
  )
}

function BoolInput({ field, value, onChange, error, readOnly, help }: InputProps & { help?: string }) {
  return (
    <Labelled label={field.title} help={help} error={error}>
      {(parts) => (
        <label className="flex items-center gap-2 h-8">
          <input {...parts} type="checkbox" className="accent-[var(--accent)] size-4" disabled={readOnly} checked={value === true} onChange={(e) => onChange(e.target.checked)} />
          <span className="text-fg-2">{value === true ? 'Yes' : value === false ? 'No' : 'Not set'}</span>
        </label>
      )}
    </Labelled>
  )
}
