import { Link } from '@tanstack/react-router'
import { ArrowRight } from 'lucide-react'

/** "all 49 →": from a short list to the whole of it. */
export function More({ cls, filter, children }: { cls: string; filter?: string; children: React.ReactNode }) {
  return (
    <Link to="/r/$cls" params={{ cls }} search={filter === undefined ? {} : { q: filter }} className="inline-flex items-center gap-1 hover:text-fg max-lg:min-h-11">
      {children} <ArrowRight size={12} />
    </Link>
  )
}
