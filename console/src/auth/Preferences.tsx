import { set, useSettings, type Settings } from '../lib/settings'
import { clock, useNow, zone } from '../lib/time'
import { Panel } from '../ui/atoms'
import { Labelled } from '../ui/Labelled'

const THEMES: [Settings['theme'], string][] = [['system', 'As the system has it'], ['light', 'Light'], ['dark', 'Dark']]

/** How this browser shows things. Times are kept in UTC whatever is chosen here. */
export function Preferences() {
  const settings = useSettings()
  const now = useNow()
  const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')]
  return (
    <Panel title="This browser">
      <div className="space-y-3">
        <Labelled label="Theme">
          {(parts) => (
            <select {...parts} className="input" value={settings.theme} onChange={(e) => set({ theme: e.target.value as Settings['theme'] })}>
              {THEMES.map(([value, title]) => (
                <option key={value} value={value}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Labelled>
        <Labelled label="Time zone" help={`It is ${clock(now)} in ${zone()}. Hover any time to see it in UTC.`}>
          {(parts) => (
            <select {...parts} className="input" value={settings.zone} onChange={(e) => set({ zone: e.target.value })}>
              <option value="">As the browser has it</option>
              {zones.map((z) => (
                <option key={z} value={z}>
                  {z}
                </option>
              ))}
            </select>
          )}
        </Labelled>
        <label className="flex items-center gap-2">
          <input type="checkbox" className="accent-[var(--accent)]" checked={settings.density === 'comfortable'} onChange={(e) => set({ density: e.target.checked ? 'comfortable' : 'compact' })} />
          Comfortable rows
        </label>
        <label className="flex items-center gap-2">
          <input type="checkbox" className="accent-[var(--accent)]" checked={settings.keys} onChange={(e) => set({ keys: e.target.checked })} />
          Single-key shortcuts
        </label>
      </div>
    </Panel>
  )
}
