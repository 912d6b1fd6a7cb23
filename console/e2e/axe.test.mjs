// WCAG 2.2 AA and best practice on every page, both themes, desktop and phone: no violation.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { desk as sitDown, open } from './browser.mjs'

const AXE = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
/** @type {Awaited<ReturnType<typeof sitDown>>} */
let desk
/** Addresses that the server gives out: the incident it made, a run that waits. @type {Record<string, string>} */
const keys = {}

before(async () => {
  desk = await sitDown()
  const { server } = desk
  keys.incident = (await server.list('incident', 'fingerprint:"check:shop-front"'))[0]?.key ?? ''
  keys.run = (await server.api('POST', '/records/runbook-run', { fields: { reason: 'It is nearly full' }, links: [{ type: 'of', to: 'grow-disk' }, { type: 'on', to: 'pg-1' }] })).key
  keys.machine = (await server.list('host', '')).find((h) => h.fields.machine_id)?.key ?? ''
})
after(() => desk?.close())

/** Name, address (a word in braces is a key), and what is done there first. @type {[string, string, ((page: import('playwright-core').Page) => Promise<unknown>)?][]} */
const PAGES = [
  ['Now', '/'],
  ['a list', '/r/incident?q='],
  ['a list of checks', '/r/check?q='],
  ['a list with peek', '/r/incident?peek={incident}'],
  ['filtered to nothing', '/r/incident?q=zzzz'],
  ['a wrong filter', '/r/incident?q=ownr:none'],
  ['an incident', '/r/incident/{incident}'],
  ['this machine', '/r/host/{machine}'],
  ['a check', '/r/check/shop-front'],
  ['a run that waits', '/r/runbook-run/{run}'],
  ['a form', '/r/host/web-1', (p) => p.keyboard.press('e')],
  ['a new record', '/r/check', (p) => p.keyboard.press('c')],
  ['no such record', '/r/host/nowhere'],
  ['the profile', '/profile'],
  ['the palette', '/r/check', (p) => p.keyboard.press('Control+k')],
  ['the help', '/', (p) => p.keyboard.press('?')],
]

/** @param {string} path @returns {string} */
const filled = (path) => path.replace(/\{(\w+)\}/, (_, name) => keys[name] ?? '')

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const phone of [false, true]) {
    test(`no violation, ${colorScheme}, ${phone ? 'phone' : 'desktop'}`, async () => {
      // The policy would refuse axe itself; every other test keeps it.
      const small = phone ? { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } : {}
      const { page, context } = await open(desk.browser, desk.server.url, { colorScheme, bypassCSP: true, storageState: await desk.context.storageState(), ...small })
      const found = []
      for (const [name, path, act] of PAGES) {
        await page.goto(filled(path))
        await page.locator('main h1, main p.font-medium').first().waitFor()
        await page.waitForTimeout(350)
        if (!phone) await act?.(page)
        await page.waitForTimeout(250)
        await page.evaluate(AXE)
        const result = await page.evaluate((tags) => /** @type {any} */ (window).axe.run(document, { runOnly: tags }), TAGS)
        for (const v of result.violations) found.push(`${name}: ${v.id} (${v.impact}) ${v.nodes.length}x ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].any[0]?.message ?? v.nodes[0].all[0]?.message ?? ''}`)
      }
      await context.close()
      assert.deepEqual(found, [])
    })
  }
}
