import { Check } from 'lucide-react'
import type { ClassDef, Rec } from '../api/types'
import { span } from '../lib/time'
import { StateSign, stateName } from '../ui/signs'
import type { Stage } from './spent'

/** The stages as a line: passed ones with the time they took, the present one underlined. */
export function Stages({ cls, record, list }: { cls: ClassDef; record: Rec; list: Stage[] }) {
  const at = list.findIndex((s) => s.current)
  return (
    // It scrolls on a phone, so it must be reachable by keyboard.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <ol tabIndex={0} aria-label="Stages" className="scroll flex gap-6 -mb-px [scrollbar-width:none]">
      {list.map((stage, i) => (
        <li key={stage.name} aria-current={stage.current ? 'step' : undefined} className={`flex items-center gap-1.5 h-9 whitespace-nowrap border-b-2 ${stage.current ? 'border-accent font-medium' : 'border-transparent'} ${i > at ? 'text-fg-3' : i < at ? 'text-fg-2' : ''}`}>
          {i < at ? (
            <Check size={14} className="text-fg-3" aria-hidden />
          ) : i > at ? (
            <span aria-hidden className="size-[13px] rounded-full border border-dashed border-ctl" />
          ) : (
            <StateSign cls={cls} state={stage.name} open={record.open} />
          )}
          {stateName(stage.name)}
          {stage.spent !== undefined && (i <= at || stage.spent > 0) && (record.open || !stage.current) && <span className="text-fg-3 font-normal num">{span(stage.spent)}</span>}
        </li>
      ))}
    </ol>
  )
}
