import type { ReactNode } from 'react'

/** Page frame: one header line, then content that scrolls on its own. */
export function Page({ title, sub, actions, children, flush = false }: { title: ReactNode; sub?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <div className="flex flex-col h-full min-h-0">
      <header className="flex items-center gap-3 h-12 px-4 border-b border-line shrink-0">
        <h1 className="text-md font-semibold truncate">{title}</h1>
        {sub && <div className="text-fg-3 truncate min-w-0 max-md:hidden">{sub}</div>}
        <div className="ml-auto flex items-center gap-2 shrink-0">{actions}</div>
      </header>
      <div className={`flex-1 min-h-0 ${flush ? '' : 'scroll'}`}>{children}</div>
    </div>
  )
}
