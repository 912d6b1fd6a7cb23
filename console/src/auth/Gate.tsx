import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Navigate, useNavigate } from '@tanstack/react-router'
import { useEffect } from 'react'
import { onSignedOut, Problem } from '../api/http'
import * as read from '../api/queries'
import { Shell } from '../shell/Shell'
import { Failed } from '../ui/states'
import { SignIn } from './SignIn'

/** Shows the shell to who is signed in, the sign-in form to others, and first use when there is nobody yet. */
export function Gate() {
  const client = useQueryClient()
  const navigate = useNavigate()
  const session = useQuery(read.session)
  const signedOut = session.error instanceof Problem && session.error.status === 401
  const first = useQuery({ ...read.bootstrap, enabled: signedOut })

  useEffect(() => onSignedOut(() => void client.invalidateQueries({ queryKey: read.session.queryKey })), [client])

  if (session.data && !signedOut) return <Shell session={session.data} />
  if (signedOut && first.data?.open) return <Navigate to="/bootstrap" search={{ token: undefined }} />
  if (signedOut && !first.isLoading) return <SignIn onDone={() => void navigate({ to: '.', search: (s) => s, replace: true })} />
  if (session.isError && !signedOut) return <Failed error={session.error} what="Your session" retry={() => void session.refetch()} />
  return <p role="status" className="late p-8 text-center text-fg-3">Loading…</p>
}
