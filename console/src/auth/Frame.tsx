import type { ReactNode } from 'react'
import { Mark } from '../ui/atoms'

/** The quiet page around sign-in and first use. */
export function Frame({ title, text, children }: { title: string; text?: ReactNode; children: ReactNode }) {
  return (
    <main className="h-full scroll bg-bg flex flex-col items-center px-4 py-[12vh]">
      <div className="w-full max-w-[380px]">
        <div className="flex items-center gap-2.5 mb-6">
          <Mark className="size-8" />
          <span className="text-lg font-semibold">Mainstay</span>
        </div>
        <div className="card p-5">
          <h1 className="text-lg font-semibold mb-1">{title}</h1>
          {text && <div className="text-fg-2 mb-4 text-pretty">{text}</div>}
          {children}
        </div>
      </div>
    </main>
  )
}
