// What all browser tests share: a chromium, signing in, and a watch on what must never happen: an error on the console, a
// refusal by the content security policy, a request to another host.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { chromium } from 'playwright-core'
import { Mainstay } from './mainstay.mjs'

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export const NAME = 'ana'
export const PASSWORD = 'seven quiet lamps by the river'

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
    await page.goto(`/bootstrap?token=${token}`)
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

/**
 * The code that an authenticator shows (RFC 6238: SHA-1, six digits, steps of 30 s).
 * @param {string} secret in base 32 @param {number} at Unix time in milliseconds @returns {string}
 */
export function totp(secret, at) {
  let bits = ''
  for (const letter of secret.replace(/[\s=]/g, '')) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((b) => parseInt(b, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)))
  const digest = createHmac('sha1', key).update(counter).digest()
  const offset = (digest.at(-1) ?? 0) & 15
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

/** A server with the world, a browser, and its first administrator at the desk. */
export async function desk() {
  const server = await Mainstay.withWorld()
  try {
    const browser = await launch()
    const first = await open(browser, server.url)
    await signIn(first.page, server.bootstrap)
    const close = async () => {
      await browser.close()
      await server.close()
    }
    return { ...first, server, browser, close }
  } catch (error) {
    await server.close()
    throw error
  }
}
