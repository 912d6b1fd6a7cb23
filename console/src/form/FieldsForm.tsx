import type { Field, Fields } from '../api/types'
import { FieldInput } from './FieldInput'

export interface FormProps {
  fields: Field[]
  values: Fields
  /** Messages by field name, from the server or from the form itself. */
  errors?: Record<string, string>
  onChange: (values: Fields) => void
  readOnly?: boolean
}

const WIDE = new Set(['list', 'map', 'group'])

/** A form made from a class: one control a field, in the order of the class. Computed fields are shown, not asked. */
export function FieldsForm({ fields, values, errors = {}, onChange, readOnly }: FormProps) {
  return (
    <div className="@container">
      <div className="grid grid-cols-1 @min-[520px]:grid-cols-2 gap-x-4 gap-y-3.5">
        {fields.map((field) => (
          <div key={field.name} className={field.multiline || WIDE.has(field.type) || field.name === 'title' ? 'col-span-full' : ''}>
            <FieldInput field={field} value={values[field.name]} error={errors[field.name]} errors={errors} path={field.name} readOnly={readOnly || field.computed} onChange={(v) => onChange({ ...values, [field.name]: v })} />
          </div>
        ))}
      </div>
    </div>
  )
}
