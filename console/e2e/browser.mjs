// What all browser tests share: the server to test (a real one, or the fixture), a chromium, and a watch on what must never
// happen: an error on the console, a refusal by the content security policy, a request to another host.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export const NAME = 'ana'
export const PASSWORD = 'correct horse battery'

/** Whether a real server is tested (`MAINSTAY_URL`). Then data of the fixture must not be expected. */
export const REAL = Boolean(process.env.MAINSTAY_URL)

/**
 * @typedef {{ url: string, token: string, close: () => Promise<void>, store?: import('./fixture/store.mjs').Store }} Server
 */

/**
 * The server under test. With `MAINSTAY_URL` and `MAINSTAY_BOOTSTRAP` (the one-time token) a real one; else the fixture.
 * @param {{ signedInAs?: string }} [options]
 * @returns {Promise<Server>}
 */
export async function server(options = {}) {
  if (process.env.MAINSTAY_URL) return { url: process.env.MAINSTAY_URL, token: process.env.MAINSTAY_BOOTSTRAP ?? '', close: async () => {} }
  const { start } = await import('./fixture/server.mjs')
  return start(options)
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS })

/**
 * A page that keeps account of what went wrong in it.
 * @param {import('playwright-core').Browser} browser @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ baseURL: url, viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', timezoneId: 'Europe/London', locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  /** @type {string[]} */
  const wrongs = []
  // A refused request (401 before sign-in, 409, 412) is part of what is tested; the browser reports each as an error.
  page.on('console', (m) => m.type() === 'error' && !/Failed to load resource/.test(m.text()) && wrongs.push(`console: ${m.text()}`))
  page.on('pageerror', (e) => wrongs.push(`script: ${e.message}`))
  page.on('request', (r) => !r.url().startsWith(url) && !/^(data|blob):/.test(r.url()) && wrongs.push(`request to ${r.url()}`))
  return { context, page, wrongs, clean: () => assert.deepEqual(wrongs, []) }
}

/**
 * Signs in, through the one-time link when nobody has yet.
 * @param {import('playwright-core').Page} page @param {string} token
 */
export async function signIn(page, token) {
  await page.goto('/')
  const main = page.getByRole('heading', { name: 'Now', exact: true })
  const welcome = page.getByRole('heading', { name: 'Welcome' })
  const form = page.getByRole('heading', { name: 'Sign in' })
  await main.or(welcome).or(form).first().waitFor()
  if (await welcome.isVisible()) {
    await page.goto(`/#/bootstrap?token=${token}`)
    await page.reload()
    await page.getByLabel('Sign-in name').fill(NAME)
    await page.getByLabel('Your name').fill('Ana Petrova')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Open Mainstay' }).click()
  } else if (await form.isVisible()) {
    await page.getByLabel('Name').fill(NAME)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }
  await main.waitFor()
}
