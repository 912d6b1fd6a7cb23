import { useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useState, type FormEvent } from 'react'
import { api, Problem } from '../api/http'
import * as read from '../api/queries'
import { useShell } from '../shell/context'
import { Chip, Panel } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'
import { did, failed } from '../ui/toast'
import { patiently } from './patiently'

const QrCode = lazy(() => import('./QrCode'))

interface Enrolment {
  secret: string
  otpauth: string
}

/** The second factor: the secret as a picture and as text for an authenticator, a code to prove it, recovery codes to keep. */
export function Totp() {
  const { session } = useShell()
  const client = useQueryClient()
  const [enrolment, setEnrolment] = useState<Enrolment | null>(null)
  const [codes, setCodes] = useState<string[]>([])
  const [code, setCode] = useState('')
  const [password, setPassword] = useState('')
  const [error, setError] = useState('')
  const again = (): void => void client.invalidateQueries({ queryKey: read.session.queryKey })

  async function start(): Promise<void> {
    try {
      setEnrolment(await api<Enrolment>('/session/totp', { method: 'POST' }))
    } catch (problem) {
      failed('It could not be set up', problem)
    }
  }
  async function confirm(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      setCodes((await patiently(() => api<{ recovery_codes: string[] }>('/session/totp/confirm', { body: { code } }))).recovery_codes)
      setEnrolment(null)
      setError('')
      again()
    } catch (problem) {
      setError(problem instanceof Problem && problem.status !== 401 ? problem.message : 'This is not the code of this moment. It changes every 30 seconds; is the clock of the authenticator right?')
    }
  }
  async function remove(event: FormEvent): Promise<void> {
    event.preventDefault()
    try {
      await patiently(() => api<void>('/session/totp', { method: 'DELETE', body: { password } }))
      setPassword('')
      setCodes([])
      did('Signing in needs only the password now')
      again()
    } catch (problem) {
      failed('The second step stays', problem instanceof Problem && problem.status === 401 ? new Error('The password is wrong.') : problem)
    }
  }

  return (
    <Panel title="Second step at sign-in" aside={session.totp ? <Chip tone="ok">on</Chip> : <Chip>off</Chip>}>
      {codes.length > 0 && (
        <div className="mb-3 rounded border border-line bg-bg p-3">
          <p className="mb-2">Keep these recovery codes somewhere safe. Each works once; they are not shown again.</p>
          <ul className="grid grid-cols-2 gap-1 font-mono text-xs" aria-label="Recovery codes">
            {codes.map((c) => (
              <li key={c}>{c}</li>
            ))}
          </ul>
          <button type="button" className="btn mt-2" onClick={() => void navigator.clipboard?.writeText(codes.join('\n'))}>
            Copy
          </button>
        </div>
      )}
      {enrolment ? (
        <form onSubmit={(e) => void confirm(e)} className="space-y-3">
          <p className="text-fg-2">Scan this with your authenticator, or enter the secret by hand.</p>
          <Suspense fallback={<div className="size-44" />}>
            <QrCode text={enrolment.otpauth} label="The secret for an authenticator; the same stands below as text" />
          </Suspense>
          <Secret label="Secret" text={enrolment.secret} />
          <Secret label="Address" text={enrolment.otpauth} />
          <Labelled label="Code that the authenticator shows" error={error}>
            {(parts) => <input {...parts} className="input font-mono tracking-widest" inputMode="numeric" autoComplete="one-time-code" value={code} onChange={(e) => setCode(e.target.value)} autoFocus />}
          </Labelled>
          <button type="submit" className="btn btn-primary" disabled={!code}>
            Turn it on
          </button>
        </form>
      ) : session.totp ? (
        <form onSubmit={(e) => void remove(e)} className="space-y-3">
          <Labelled label="Password, to turn it off">{(parts) => <input {...parts} type="password" className="input" autoComplete="current-password" value={password} onChange={(e) => setPassword(e.target.value)} />}</Labelled>
          <button type="submit" className="btn" disabled={!password}>
            Turn it off
          </button>
        </form>
      ) : (
        <>
          <p className="text-fg-2 mb-3">A code from an authenticator, besides the password. Whoever has only the password stays outside.</p>
          <button type="button" className="btn" onClick={() => void start()}>
            Set it up
          </button>
        </>
      )}
    </Panel>
  )
}

function Secret({ label, text }: { label: string; text: string }) {
  return (
    <div>
      <div className="text-xs font-medium text-fg-2 mb-1">{label}</div>
      <code className="block font-mono text-xs bg-sunken rounded px-2.5 py-1.5 break-all select-all">{text}</code>
    </div>
  )
}
