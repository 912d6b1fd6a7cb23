import { useState, type FormEvent } from 'react'
import { api, Problem } from '../api/http'
import { Panel } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { did, failed } from '../ui/toast'
import { patiently } from './patiently'

const LEAST = 12

export function Password() {
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const [errors, setErrors] = useState<Record<string, string>>({})

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      await patiently(() => api<unknown>('/session/password', { body: { current, new: next } }))
      setCurrent('')
      setNext('')
      setErrors({})
      did('The password is changed; other sessions are signed out')
    } catch (error) {
      const byField = error instanceof Problem ? (error.status === 401 ? { current: 'This is not the current password.' } : error.byField()) : {}
      setErrors(byField)
      if (!Object.keys(byField).length) failed('The password was not changed', error)
    }
  }

  return (
    <Panel title="Password">
      <form onSubmit={(e) => void submit(e)} className="space-y-3">
        <Labelled label="Current password" error={errors.current}>
          {(parts) => <input {...parts} type="password" className="input" autoComplete="current-password" value={current} onChange={(e) => setCurrent(e.target.value)} />}
        </Labelled>
        <Labelled label="New password" help={`At least ${LEAST} characters.`} error={errors.new}>
          {(parts) => <input {...parts} type="password" className="input" autoComplete="new-password" value={next} onChange={(e) => setNext(e.target.value)} />}
        </Labelled>
        <button type="submit" className="btn" disabled={!current || next.length < LEAST}>
          Change password
        </button>
      </form>
    </Panel>
  )
}
