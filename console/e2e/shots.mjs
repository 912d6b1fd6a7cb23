// Pictures of every page, light, dark and phone, into console/test-results: to be looked at.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { launch, open, server, signIn } from './browser.mjs'

const OUT = join(import.meta.dirname ?? '.', '../test-results')
mkdirSync(OUT, { recursive: true })
const only = process.argv.slice(2)

/** @type {[string, string, ((page: import('playwright-core').Page) => Promise<unknown>)?][]} */
const PAGES = [
  ['now', '/'],
  ['list', '/r/incident'],
  ['list-all', '/r/incident?q='],
  ['checks', '/r/check?q='],
  ['peek', '/r/incident?peek=INC-461'],
  ['suggest', '/r/incident?q=', async (p) => { await p.keyboard.press('/'); await p.keyboard.type('state:') }],
  ['incident', '/r/incident/INC-461'],
  ['record', '/r/host/web-1'],
  ['edit', '/r/host/web-1', (p) => p.keyboard.press('e')],
  ['run', '/r/runbook-run/RUN-1'],
  ['palette', '/r/incident', async (p) => { await p.keyboard.press('Control+k'); await p.getByRole('combobox', { name: 'Search or run' }).fill('pay') }],
  ['help', '/', (p) => p.keyboard.press('?')],
  ['profile', '/profile'],
  ['create', '/r/check', (p) => p.keyboard.press('c')],
]

const fixture = await server({ signedInAs: 'ana' })
const browser = await launch()
for (const [look, options] of /** @type {const} */ ([['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }], ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }]])) {
  const { page, wrongs, context } = await open(browser, fixture.url, options)
  await signIn(page, fixture.token)
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
await browser.close()
await fixture.close()
