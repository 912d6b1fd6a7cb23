import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState, type FormEvent } from 'react'
import { api, Problem } from '../api/http'
import * as read from '../api/queries'
import type { Session } from '../api/types'
import { Labelled } from '../ui/Labelled'
import { Frame } from './Frame'

const LEAST = 12

/** First start: whoever holds the one-time link becomes the first administrator. */
export default function Bootstrap() {
  const search = useSearch({ from: '/bootstrap' })
  const client = useQueryClient()
  const navigate = useNavigate()
  const state = useQuery(read.bootstrap)
  const [token, setToken] = useState(search.token ?? '')
  const [title, setTitle] = useState('')
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [error, setError] = useState<unknown>(null)
  const [busy, setBusy] = useState(false)
  const byField = error instanceof Problem ? error.byField() : {}

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    setBusy(true)
    try {
      await api<unknown>('/bootstrap', { body: { token: token.trim(), name, title: title || name, password } })
      client.setQueryData<Session>(read.session.queryKey, await api<Session>('/session'))
      // The token is spent: it need not stay in the address or the history.
      await navigate({ to: '/', replace: true })
    } catch (problem) {
      setError(problem)
      setBusy(false)
    }
  }

  if (state.data && !state.data.open) {
    return (
      <Frame title="This link has been used" text="Mainstay already has an administrator. If you have lost the way in, run “mainstay admin reset” on the machine itself.">
        <Link to="/" className="btn btn-primary w-full h-9">
          Sign in
        </Link>
      </Frame>
    )
  }
  return (
    <Frame title="Welcome" text="You are the first one here. Choose the name and the password of the first administrator.">
      <form onSubmit={(e) => void submit(e)} className="space-y-3">
        {!search.token && (
          <Labelled label="One-time token" help="Mainstay printed it when it started; it is in the file bootstrap-token of the data directory, too." error={byField.token}>
            {(parts) => <input {...parts} className="input font-mono" value={token} onChange={(e) => setToken(e.target.value)} autoComplete="off" spellCheck={false} />}
          </Labelled>
        )}
        <Labelled label="Sign-in name" help="Small letters, digits and hyphens. It is your key in the journal, for good." error={byField.name}>
          {(parts) => <input {...parts} className="input" value={name} onChange={(e) => setName(e.target.value)} autoComplete="username" autoCapitalize="none" spellCheck={false} />}
        </Labelled>
        <Labelled label="Your name, as others read it" error={byField.title}>
          {(parts) => <input {...parts} className="input" value={title} onChange={(e) => setTitle(e.target.value)} autoComplete="name" />}
        </Labelled>
        <Labelled label="Password" help={`At least ${LEAST} characters. A sentence is good.`} error={byField.password}>
          {(parts) => <input {...parts} className="input" type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="new-password" />}
        </Labelled>
        {error instanceof Error && !Object.keys(byField).length && (
          <p role="alert" className="text-crit bg-crit-soft rounded px-2.5 py-1.5">
            {error.message}
          </p>
        )}
        <button type="submit" className="btn btn-primary w-full h-9" disabled={busy || !token || !name || password.length < LEAST}>
          {busy ? 'Opening…' : 'Open Mainstay'}
        </button>
      </form>
    </Frame>
  )
}
