import { set, useSettings } from '../lib/settings'
import { Keys } from '../ui/atoms'
import { Modal } from '../ui/Modal'
import { KEYMAP } from './keymap'

export default function Help({ onClose }: { onClose: () => void }) {
  const { keys } = useSettings()
  return (
    <Modal open onClose={onClose} title="Keyboard" width={820}>
      <div className="scroll p-5">
        <label className="flex items-center gap-2 text-xs text-fg-2 mb-4">
          <input type="checkbox" className="accent-[var(--accent)]" checked={keys} onChange={(e) => set({ keys: e.target.checked })} />
          Single-key shortcuts
        </label>
        <div className="grid grid-cols-1 sm:grid-cols-3 gap-x-8 gap-y-4">
          {KEYMAP.map((part) => (
            <section key={part.where}>
              <h3 className="label mb-1.5">{part.where}</h3>
              <dl>
                {part.keys.map(([k, does]) => (
                  <div key={k} className="flex items-center justify-between min-h-7 gap-2">
                    <dt className="text-fg-2">{does}</dt>
                    <dd>
                      <Keys k={k} />
                    </dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        </div>
      </div>
    </Modal>
  )
}
