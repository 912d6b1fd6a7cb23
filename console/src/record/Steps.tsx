import { ChevronRight } from 'lucide-react'
import type { Fields, Json, Rec } from '../api/types'
import { span } from '../lib/time'
import { StateSign, stateName } from '../ui/signs'

const text = (v: Json | undefined): string => (typeof v === 'string' ? v : '')

/** Done and undone steps of a run, each with how long it took and what it said. */
export function Steps({ run, now }: { run: Rec; now: number }) {
  const steps = Array.isArray(run.fields.steps) ? (run.fields.steps.filter((s) => s && typeof s === 'object' && !Array.isArray(s)) as Fields[]) : []
  if (!steps.length) return <p className="text-fg-3">No step has begun.</p>
  return (
    <ol>
      {steps.map((step, i) => {
        const state = text(step.state) || 'waiting'
        const started = Date.parse(text(step.started))
        const ended = Date.parse(text(step.ended))
        const output = text(step.output)
        const line = (
          <span className="flex items-center gap-2 min-h-7 min-w-0 flex-1">
            <StateSign state={state} open={!/succeeded|failed|skipped/.test(state)} />
            <span className="truncate font-mono text-xs">{text(step.title) || text(step.name) || `Step ${i + 1}`}</span>
            <span className="ml-auto shrink-0 text-xs text-fg-3 num">
              {stateName(state)}
              {!Number.isNaN(started) && `, ${span((Number.isNaN(ended) ? now : ended) - started)}`}
            </span>
          </span>
        )
        return (
          <li key={i} className="border-t border-line-soft first:border-0">
            {output ? (
              <details className="group">
                <summary className="flex items-center gap-1 list-none">
                  <ChevronRight size={12} className="text-fg-3 group-open:rotate-90" />
                  {line}
                </summary>
                <pre className="font-mono text-xs bg-sunken rounded px-2.5 py-2 mb-2 whitespace-pre-wrap break-words max-h-64 scroll">{output}</pre>
              </details>
            ) : (
              <div className="flex items-center pl-4">{line}</div>
            )}
          </li>
        )
      })}
    </ol>
  )
}
