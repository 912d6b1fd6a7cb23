/** What a page or a panel shows when it has nothing (yet): each state is designed once, here. */
import { Lock, RotateCw } from 'lucide-react'
import type { ReactNode } from 'react'
import { Problem } from '../api/http'

/** `page`: it stands for the whole page, so its title is the page's. */
export function Empty({ title, text, action, page = false }: { title: string; text?: ReactNode; action?: ReactNode; page?: boolean }) {
  const Title = page ? 'h1' : 'p'
  return (
    <div className="flex flex-col items-center justify-center text-center gap-1 py-8 px-6 h-full">
      <Title className="font-medium">{title}</Title>
      {text && <div className="text-fg-3 max-w-[52ch] text-pretty">{text}</div>}
      {action && <div className="mt-3 flex gap-2 flex-wrap justify-center">{action}</div>}
    </div>
  )
}

/** A failed read: what happened, what to do. No permission and not found have their own words. */
export function Failed({ error, what, retry, page }: { error: unknown; what: string; retry?: () => void; page?: boolean }) {
  const problem = error instanceof Problem ? error : null
  if (problem?.status === 403) {
    return (
      <Empty
        page={page}
        title="You can see that this exists, not what it says"
        text={problem.body.detail ?? `${what} need a role that you do not have. An administrator can grant it.`}
        action={
          <span className="inline-flex items-center gap-1.5 text-fg-3">
            <Lock size={14} /> Refused by policy{problem.body.request_id ? `, request ${problem.body.request_id}` : ''}
          </span>
        }
      />
    )
  }
  if (problem?.status === 404) {
    return <Empty page={page} title="There is no such record" text={<>{problem.body.detail ?? 'It may have been deleted, or the address has a slip.'}{problem.body.near?.length ? <> Near: {problem.body.near.join(', ')}.</> : null}</>} />
  }
  return (
    <Empty
      page={page}
      title={`${what} could not be loaded`}
      text={error instanceof Error ? error.message : 'The answer could not be read.'}
      action={
        retry && (
          <button type="button" className="btn" onClick={retry}>
            <RotateCw size={14} /> Try again
          </button>
        )
      }
    />
  )
}

/** Lines of the final height, shown only when waiting is noticed. */
export function Skeleton({ rows = 6, height = 34, label = 'Loading' }: { rows?: number; height?: number; label?: string }) {
  return (
    <div role="status" aria-busy="true" aria-label={label} className="late">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="flex items-center gap-3 px-3 border-b border-line-soft" style={{ height }}>
          <i className="skel size-[18px] shrink-0" />
          <i className="skel h-3" style={{ width: `${38 + ((i * 37) % 50)}%` }} />
        </div>
      ))}
    </div>
  )
}
