import { Menu } from '@base-ui/react/menu'
import { Check, SlidersHorizontal } from 'lucide-react'
import { API, query } from '../api/http'
import type { ClassDef } from '../api/types'
import { set, useSettings } from '../lib/settings'
import { possible } from './columns'

const ITEM = 'flex items-center gap-2 h-8 px-2 rounded outline-none data-[highlighted]:bg-accent-soft max-lg:h-11'
const FORMATS = ['csv', 'json', 'yaml']

/** Columns, density and export. */
export function ListMenu({ cls, columns, onColumns, filter, sort }: { cls: ClassDef; columns: string[]; onColumns: (names: string[] | undefined) => void; filter: string; sort?: string }) {
  const { density } = useSettings()
  const toggle = (name: string): void => onColumns(columns.includes(name) ? columns.filter((c) => c !== name) : [...columns, name])
  return (
    <Menu.Root>
      <Menu.Trigger className="icon-btn" aria-label="Columns, density, export" title="Columns, density, export">
        <SlidersHorizontal size={15} />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={4} align="end" className="z-50 outline-none">
          <Menu.Popup className="rise popup w-[240px] max-h-[70vh] scroll p-1">
            <Menu.Group>
              <Menu.GroupLabel className="label px-2 pt-1.5 pb-1">Columns</Menu.GroupLabel>
              {possible(cls).map((f) => (
                <Menu.CheckboxItem key={f.name} checked={columns.includes(f.name)} onCheckedChange={() => toggle(f.name)} className={ITEM}>
                  <span className="w-4">
                    <Menu.CheckboxItemIndicator>
                      <Check size={14} />
                    </Menu.CheckboxItemIndicator>
                  </span>
                  <span className="truncate">{f.title}</span>
                </Menu.CheckboxItem>
              ))}
              <Menu.Item className={ITEM} onClick={() => onColumns(undefined)}>
                <span className="w-4" /> As the class has them
              </Menu.Item>
            </Menu.Group>
            <Menu.Separator className="h-px bg-line my-1" />
            <Menu.Item className={ITEM} onClick={() => set({ density: density === 'compact' ? 'comfortable' : 'compact' })}>
              <span className="w-4" /> {density === 'compact' ? 'Comfortable rows' : 'Compact rows'}
            </Menu.Item>
            <Menu.Separator className="h-px bg-line my-1" />
            <Menu.Group>
              <Menu.GroupLabel className="label px-2 pt-1.5 pb-1">Export what the filter finds</Menu.GroupLabel>
              {FORMATS.map((format) => (
                <Menu.Item key={format} className={ITEM} render={<a href={`${API}/export/${cls.name}${query({ format, filter, sort })}`} download={`${cls.name}.${format}`} aria-label={`Export as ${format.toUpperCase()}`} />}>
                  <span className="w-4" /> {format.toUpperCase()}
                </Menu.Item>
              ))}
            </Menu.Group>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  )
}
