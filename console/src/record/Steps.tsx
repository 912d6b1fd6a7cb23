import { ChevronRight } from 'lucide-react'
import type { Rec } from '../api/types'
import { StateSign, stateName } from '../ui/signs'
import { Time } from '../ui/Time'
import { stepsOf } from './steps'

/** What a run has done so far, step by step, and what each step said. */
export function Steps({ run, now }: { run: Rec; now: number }) {
  const steps = stepsOf(run)
  if (!steps.length) return <p className="text-fg-3">{run.open ? 'No step has ended yet.' : 'No step was done.'}</p>
  return (
    <ol>
      {steps.map((step, i) => {
        const line = (
          <span className="flex items-center gap-2 min-h-7 min-w-0 flex-1">
            <StateSign state={step.state} open={false} />
            <span className="truncate font-mono text-xs">{step.title}</span>
            <span className="ml-auto shrink-0 text-xs text-fg-3 num">
              {stateName(step.state)}
              {step.repeated && ', done again'} {step.at && <Time at={step.at} now={now} as="clock" />}
            </span>
          </span>
        )
        return (
          <li key={i} className="border-t border-line-soft first:border-0">
            {step.said || step.repeated ? (
              <details className="group" open={step.state === 'failed'}>
                <summary className="flex items-center gap-1 list-none">
                  <ChevronRight size={12} className="text-fg-3 group-open:rotate-90 shrink-0" />
                  {line}
                </summary>
                <pre className="font-mono text-xs bg-sunken rounded px-2.5 py-2 mb-2 whitespace-pre-wrap break-words max-h-64 scroll">{[step.repeated, step.said].filter(Boolean).join('\n')}</pre>
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
