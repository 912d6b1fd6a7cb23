import { useId, type ReactNode } from 'react'

interface Parts {
  id: string
  'aria-describedby': string | undefined
  'aria-invalid': boolean
  'aria-required': boolean | undefined
}

/** A label, the control that `children` makes from the ids, help under it, and the error in words. */
export function Labelled({ label, help, error, required, children, aside }: { label: ReactNode; help?: ReactNode; error?: string; required?: boolean; aside?: ReactNode; children: (parts: Parts) => ReactNode }) {
  const id = useId()
  const described = [error ? `${id}-error` : '', help ? `${id}-help` : ''].filter(Boolean).join(' ') || undefined
  return (
    <div className="min-w-0">
      <div className="flex items-baseline gap-2 mb-1">
        <label htmlFor={id} className="text-xs font-medium text-fg-2">
          {label}
          {required && <span className="text-fg-3 font-normal"> (needed)</span>}
        </label>
        {aside && <span className="ml-auto text-2xs text-fg-3">{aside}</span>}
      </div>
      {children({ id, 'aria-describedby': described, 'aria-invalid': Boolean(error), 'aria-required': required || undefined })}
      {error && (
        <p id={`${id}-error`} role="alert" className="text-xs text-crit mt-1">
          {error}
        </p>
      )}
      {help && (
        <p id={`${id}-help`} className="text-2xs text-fg-3 mt-1 text-pretty">
          {help}
        </p>
      )}
    </div>
  )
}
