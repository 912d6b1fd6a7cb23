import { WifiOff } from 'lucide-react'
import { useConnection, useLostAt } from '../api/live'
import { clock, useNow } from '../lib/time'

const PATIENCE_MS = 5000

/** Says that what is on the screen may be old. A short break is not worth a line. */
export function Offline() {
  const connection = useConnection()
  const lostAt = useLostAt()
  const now = useNow(2000)
  if (connection === 'live' || connection === 'connecting' || lostAt === null || now - lostAt < PATIENCE_MS) return null
  return (
    <p role="status" className="flex items-center gap-2 px-4 h-9 bg-warn-soft text-warn text-xs shrink-0">
      <WifiOff size={14} />
      {connection === 'offline' ? 'Offline' : 'Mainstay does not answer'} since {clock(lostAt)}. What you see is from then; it catches up by itself.
    </p>
  )
}
