import { Page } from '../ui/Page'
import { useShell } from '../shell/context'
import { Password } from './Password'
import { Preferences } from './Preferences'
import { Tokens } from './Tokens'
import { Totp } from './Totp'

export default function Profile() {
  const { session } = useShell()
  return (
    <Page title={session.person.title} sub={`${session.person.key} · ${session.roles.join(', ')} · ${session.tenant}`}>
      <div className="p-4 lg:px-6 grid gap-4 max-w-[1000px] lg:grid-cols-2 items-start">
        <div className="space-y-4 min-w-0">
          <Password />
          <Totp />
        </div>
        <div className="space-y-4 min-w-0">
          <Preferences />
          <Tokens />
        </div>
      </div>
    </Page>
  )
}
