import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState, type FormEvent } from 'react'
import { api, Problem } from '../api/http'
import * as read from '../api/queries'
import type { Session } from '../api/types'
import { Labelled } from '../ui/Labelled'
import { Frame } from './Frame'
import { patiently } from './patiently'

/** Name and password; the code of the second factor only when the server asks for it. */
export function SignIn({ onDone }: { onDone: () => void }) {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const [wantsCode, setWantsCode] = useState(false)
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)
  const [wait, setWait] = useState(0)

  useEffect(() => {
    if (!wait) return
    const timer = setTimeout(() => setWait(wait - 1), 1000)
    return () => clearTimeout(timer)
  }, [wait])

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    setBusy(true)
    setError('')
    try {
      await patiently(() => api<unknown>('/session', { body: { name, password, ...(wantsCode ? { code } : {}) } }))
      client.setQueryData<Session>(read.session.queryKey, await api<Session>('/session'))
      onDone()
    } catch (problem) {
      const asks = problem instanceof Problem && problem.kind === 'second-factor'
      setWantsCode(wantsCode || asks)
      setError(asks && !wantsCode ? '' : problem instanceof Error ? problem.message : 'Signing in failed.')
      if (problem instanceof Problem && problem.status === 429) setWait(Math.ceil(problem.retryAfter ?? 1))
      setBusy(false)
    }
  }

  return (
    <Frame title={wantsCode ? 'Second step' : 'Sign in'} text={wantsCode ? 'Enter the six digits from your authenticator, or a recovery code.' : undefined}>
      <form onSubmit={(e) => void submit(e)} className="space-y-3 mt-3">
        {wantsCode ? (
          <Labelled label="Code">
            {(parts) => <input {...parts} className="input font-mono tracking-widest" value={code} onChange={(e) => setCode(e.target.value)} autoComplete="one-time-code" inputMode="numeric" autoFocus />}
          </Labelled>
        ) : (
          <>
            <Labelled label="Name">{(parts) => <input {...parts} className="input" value={name} onChange={(e) => setName(e.target.value)} autoComplete="username" autoCapitalize="none" spellCheck={false} autoFocus />}</Labelled>
            <Labelled label="Password">{(parts) => <input {...parts} className="input" type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="current-password" />}</Labelled>
          </>
        )}
        {error && (
          <p role="alert" className="text-crit bg-crit-soft rounded px-2.5 py-1.5">
            {error}
          </p>
        )}
        <button type="submit" className="btn btn-primary w-full h-9" disabled={busy || wait > 0 || !name || !password || (wantsCode && !code)}>
          {busy ? 'Signing in…' : wait > 0 ? `Wait ${wait} s` : 'Sign in'}
        </button>
        {wantsCode && (
          <button
            type="button"
            className="btn btn-ghost w-full"
            onClick={() => {
              setWantsCode(false)
              setCode('')
              setError('')
            }}
          >
            Back to name and password
          </button>
        )}
      </form>
    </Frame>
  )
}
