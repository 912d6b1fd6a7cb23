import { Link } from '@tanstack/react-router'
import { Megaphone } from 'lucide-react'
import { useRecords } from './useRecords'

/** What everybody is to know today: announcements that are published and whose time has come. */
export function Announcements({ now }: { now: number }) {
  const { rows } = useRecords('announcement', 'state:published', '-updated', 10)
  const time = (value: unknown, otherwise: number): number => (typeof value === 'string' ? Date.parse(value) : otherwise)
  const current = rows.filter((r) => time(r.fields.starts_at, 0) <= now && now < time(r.fields.ends_at, Infinity))
  if (!current.length) return null
  return (
    <ul className="rounded-lg border border-accent-line bg-accent-soft" aria-label="Announcements">
      {current.map((r) => (
        <li key={r.key} className="border-t border-accent-line first:border-0">
          <Link to="/r/$cls/$key" params={{ cls: r.class, key: r.key }} search={{}} className="flex items-center gap-3 px-4 py-2.5 hover:underline underline-offset-4">
            <Megaphone size={16} className="text-accent shrink-0" />
            <span className="font-medium text-pretty">{r.title}</span>
          </Link>
        </li>
      ))}
    </ul>
  )
}
