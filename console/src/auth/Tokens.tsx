import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { api } from '../api/http'
import * as read from '../api/queries'
import { useNow } from '../lib/time'
import { Panel } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { Failed } from '../ui/states'
import { Time } from '../ui/Time'
import { did, failed } from '../ui/toast'

/** Tokens for scripts and the command line. A secret is shown once, when it is made. */
export function Tokens() {
  const client = useQueryClient()
  const now = useNow(60_000)
  const { data = [], error, refetch } = useQuery(read.tokens)
  const [title, setTitle] = useState('')
  const [secret, setSecret] = useState('')
  const again = (): void => void client.invalidateQueries({ queryKey: read.tokens.queryKey })

  async function make(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      setSecret((await api<{ token: string; id: string }>('/tokens', { body: { name: title } })).token)
      setTitle('')
      again()
    } catch (problem) {
      failed('The token was not made', problem)
    }
  }
  async function revoke(id: string): Promise<void> {
    try {
      await api<void>(`/tokens/${encodeURIComponent(id)}`, { method: 'DELETE' })
      did('The token is revoked')
      again()
    } catch (problem) {
      failed('The token still works', problem)
    }
  }

  return (
    <Panel title="API tokens">
      {error ? <Failed error={error} what="Your tokens" retry={() => void refetch()} /> : null}
      {secret && (
        <div className="mb-3 rounded border border-line bg-bg p-3" role="status">
          <p className="mb-1.5">Copy it now: it is not shown again.</p>
          <code className="block font-mono text-xs break-all select-all">{secret}</code>
        </div>
      )}
      <ul className="mb-3">
        {data.map((t) => (
          <li key={t.id} className="flex items-center gap-2 min-h-9 border-t border-line-soft first:border-0">
            <span className="truncate">{t.name || t.id}</span>
            <span className="ml-auto text-xs text-fg-3 shrink-0">{t.last_used ? <>used <Time at={t.last_used} now={now} as="ago" /> ago</> : 'never used'}</span>
            <button type="button" className="btn" aria-label={`Revoke ${t.name || t.id}`} onClick={() => void revoke(t.id)}>
              Revoke
            </button>
          </li>
        ))}
        {!data.length && !error && <li className="text-fg-3">None yet.</li>}
      </ul>
      <form onSubmit={(e) => void make(e)} className="flex items-end gap-2">
        <div className="flex-1">
          <Labelled label="What it is for">{(parts) => <input {...parts} className="input" value={title} onChange={(e) => setTitle(e.target.value)} />}</Labelled>
        </div>
        <button type="submit" className="btn h-8" disabled={!title.trim()}>
          Make a token
        </button>
      </form>
    </Panel>
  )
}
