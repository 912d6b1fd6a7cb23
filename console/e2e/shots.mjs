// Pictures of every page, light, dark and phone, into console/test-results: to be looked at.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { desk as sitDown, open } from './browser.mjs'

const OUT = join(import.meta.dirname ?? '.', '../test-results')
mkdirSync(OUT, { recursive: true })
const only = process.argv.slice(2)

const { server, browser, context: signedIn, close } = await sitDown()
const incident = (await server.list('incident', 'fingerprint:"check:shop-front"'))[0]?.key
const machine = (await server.list('host', '')).find((h) => h.fields.machine_id)?.key
const run = (await server.api('POST', '/records/runbook-run', { fields: { title: 'Grow the disk of pg-1', reason: 'It is nearly full' }, links: [{ type: 'of', to: 'grow-disk' }, { type: 'on', to: 'pg-1' }] })).key

/** @type {[string, string, ((page: import('playwright-core').Page) => Promise<unknown>)?][]} */
const PAGES = [
  ['now', '/'],
  ['list', '/r/incident'],
  ['list-all', '/r/incident?q='],
  ['checks', '/r/check?q='],
  ['peek', `/r/incident?peek=${incident}`],
  ['suggest', '/r/incident?q=', async (p) => { await p.keyboard.press('/'); await p.keyboard.type('state:') }],
  ['incident', `/r/incident/${incident}`],
  ['machine', `/r/host/${machine}`],
  ['check', '/r/check/shop-front'],
  ['edit', '/r/host/web-1', (p) => p.keyboard.press('e')],
  ['run', `/r/runbook-run/${run}`],
  ['palette', '/r/incident', async (p) => { await p.keyboard.press('Control+k'); await p.getByRole('combobox', { name: 'Search or run' }).fill('pay') }],
  ['help', '/', (p) => p.keyboard.press('?')],
  ['profile', '/profile'],
  ['create', '/r/check', (p) => p.keyboard.press('c')],
]

for (const [look, options] of /** @type {const} */ ([['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }], ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }]])) {
  const { page, wrongs, context } = await open(browser, server.url, { ...options, storageState: await signedIn.storageState() })
  for (const [name, path, act] of PAGES) {
    if (only.length && !only.includes(name)) continue
    await page.goto(path)
    await page.locator('main h1').first().waitFor()
    await page.waitForTimeout(500)
    if (look !== 'phone') await act?.(page)
    await page.waitForTimeout(400)
    await page.screenshot({ path: join(OUT, `${name}-${look}.png`) })
  }
  if (wrongs.length) console.log(look, wrongs)
  await context.close()
}
await close()
