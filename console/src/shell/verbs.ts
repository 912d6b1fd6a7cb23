/** The left bar: verbs in their order, and which of their classes are pinned. Everything else is behind More. */
import {
  Activity, AppWindow, BadgeCheck, Bell, BookOpen, Boxes, CalendarClock, CalendarRange, ChartNoAxesColumn, CircleAlert, ClipboardCheck, Cog, Database, FileText, GitPullRequestArrow,
  HandHelping, HardDriveDownload, History, KeyRound, LifeBuoy, ListChecks, Network, PlayCircle, ReceiptText, Scale, Server, ShieldCheck, Siren, TrendingUp, Users, Wrench, type LucideIcon,
} from 'lucide-react'
import type { ClassDef, Verb } from '../api/types'

export const VERBS: { verb: Verb; title: string; question: string }[] = [
  { verb: 'respond', title: 'Respond', question: 'It broke: who acts?' },
  { verb: 'watch', title: 'Watch', question: 'Is it healthy?' },
  { verb: 'know', title: 'Know', question: 'What do we run?' },
  { verb: 'serve', title: 'Serve', question: 'Who needs help?' },
  { verb: 'change', title: 'Change', question: 'What will differ?' },
  { verb: 'protect', title: 'Protect', question: 'Could we lose it?' },
  { verb: 'plan', title: 'Plan', question: 'Will it last?' },
  { verb: 'prove', title: 'Prove', question: 'Was it good?' },
  { verb: 'kernel', title: 'Mainstay', question: 'People and settings' },
]

export const PINNED_PER_VERB = 5

/** Pinned first, in this order, when the class exists; then by name. */
const FIRST: Record<Verb, string[]> = {
  respond: ['incident', 'runbook-run', 'runbook', 'on-call-schedule', 'problem'],
  watch: ['check', 'alert', 'rule', 'maintenance-window', 'silence'],
  know: ['host', 'application', 'service', 'database', 'network-device'],
  serve: ['request', 'catalogue-item', 'article', 'survey', 'announcement'],
  change: ['change', 'release', 'deployment', 'patch', 'project'],
  protect: ['backup-policy', 'restore-test', 'continuity-plan', 'finding', 'risk'],
  plan: ['capacity-plan', 'forecast', 'contract', 'supplier', 'cost'],
  prove: ['service-level', 'report', 'audit', 'improvement-action', 'complaint'],
  kernel: ['person', 'team', 'role', 'channel', 'saved-view'],
}

const ICONS: Record<string, LucideIcon> = {
  incident: Siren, 'runbook-run': PlayCircle, runbook: ListChecks, 'on-call-schedule': CalendarClock, problem: CircleAlert,
  check: Activity, alert: Bell, rule: Scale, 'maintenance-window': Wrench,
  host: Server, application: AppWindow, service: Network, database: Database, 'network-device': Network,
  request: LifeBuoy, 'catalogue-item': HandHelping, article: BookOpen,
  change: GitPullRequestArrow, release: CalendarRange, patch: Wrench,
  'backup-policy': HardDriveDownload, 'restore-test': History, finding: ShieldCheck, risk: CircleAlert,
  contract: ReceiptText, cost: ReceiptText, 'service-level': BadgeCheck, report: FileText, review: ClipboardCheck,
  person: Users, team: Users, role: KeyRound, token: KeyRound,
}
const VERB_ICONS: Record<Verb, LucideIcon> = {
  respond: Siren, watch: Activity, know: Boxes, serve: LifeBuoy, change: GitPullRequestArrow, protect: ShieldCheck, plan: TrendingUp, prove: ChartNoAxesColumn, kernel: Cog,
}

export const iconOf = (cls: Pick<ClassDef, 'name' | 'verb'>): LucideIcon => ICONS[cls.name] ?? VERB_ICONS[cls.verb]

/** Keys after g, as far as the classes exist. */
export const GO: Record<string, string> = { i: 'incident', o: 'on-call-schedule', k: 'check', r: 'runbook-run', h: 'host', s: 'service', a: 'application', t: 'request', c: 'change' }
export const goKey = (cls: string): string | undefined => Object.entries(GO).find(([, c]) => c === cls)?.[0]

/** Classes of one verb, pinned ones first. */
export function classesOf(verb: Verb, all: Iterable<ClassDef>): { pinned: ClassDef[]; rest: ClassDef[] } {
  const rank = (c: ClassDef): number => {
    const at = FIRST[verb].indexOf(c.name)
    return at < 0 ? FIRST[verb].length : at
  }
  const mine = [...all].filter((c) => c.verb === verb).toSorted((a, b) => rank(a) - rank(b) || a.plural.localeCompare(b.plural))
  return { pinned: mine.slice(0, PINNED_PER_VERB), rest: mine.slice(PINNED_PER_VERB) }
}

/** Verbs that stand open at first, by role. */
export function openVerbs(roles: string[]): Verb[] {
  if (roles.some((r) => /help-desk|customer/.test(r))) return ['serve', 'respond', 'know']
  if (roles.some((r) => /manager/.test(r))) return ['prove', 'plan', 'respond']
  if (roles.some((r) => /security|read-only/.test(r))) return ['protect', 'prove', 'respond']
  return ['respond', 'watch', 'know']
}
