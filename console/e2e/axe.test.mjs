// WCAG 2.2 AA and best practice on every page, both themes, desktop and phone: no violation.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { launch, open, REAL, server, signIn } from './browser.mjs'

const AXE = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('./browser.mjs').Server} */
let target

before(async () => {
  target = await server(REAL ? {} : { signedInAs: 'ana' })
  browser = await launch()
})
after(async () => {
  await browser.close()
  await target.close()
})

/** @type {[string, string, ((page: import('playwright-core').Page) => Promise<unknown>)?][]} */
const PAGES = [
  ['Now', '/'],
  ['a list', '/r/incident?q='],
  ['a list of checks', '/r/check?q='],
  ['the profile', '/profile'],
  ['the palette', '/r/check', (p) => p.keyboard.press('Control+k')],
  ['the help', '/', (p) => p.keyboard.press('?')],
  ...(REAL ? [] : /** @type {[string, string, ((page: import('playwright-core').Page) => Promise<unknown>)?][]} */ ([
    ['a list with peek', '/r/incident?peek=INC-461'],
    ['an incident', '/r/incident/INC-461'],
    ['a host', '/r/host/web-1'],
    ['a form', '/r/host/web-1', (p) => p.keyboard.press('e')],
    ['a run', '/r/runbook-run/RUN-1'],
    ['a new record', '/r/check', (p) => p.keyboard.press('c')],
    ['filtered to nothing', '/r/incident?q=zzzz'],
    ['no such record', '/r/host/nowhere'],
  ])),
]

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const phone of [false, true]) {
    test(`nobody is kept out: ${colorScheme}${phone ? ', phone' : ''}`, async () => {
      // The policy would refuse axe itself; every other test keeps it.
      const { page, context } = await open(browser, target.url, { colorScheme, bypassCSP: true, ...(phone ? { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } : {}) })
      await signIn(page, target.token)
      const found = []
      for (const [name, path, act] of PAGES) {
        await page.goto(path)
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
