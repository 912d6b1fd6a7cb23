// The first page, the palette, the theme, the phone.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { desk as sitDown, open } from './browser.mjs'

/** @type {Awaited<ReturnType<typeof sitDown>>} */
let desk

before(async () => void (desk = await sitDown()))
after(() => desk?.close())

/** @param {string} name */
const section = (name) => desk.page.locator('section', { has: desk.page.getByRole('heading', { name, exact: true }) })

test('Now tells what needs a person, what runs here, and what is not known', async () => {
  const { page } = desk
  await page.goto('/')
  await section('Needs a person').getByRole('listitem').filter({ hasText: /127\.0\.0\.1:9/ }).filter({ hasText: /nobody/i }).waitFor()
  await page.getByRole('heading', { name: 'What runs here' }).waitFor()
  await section('Not known').getByText('Asked by nobody').waitFor()
  desk.clean()
})

test('what happens elsewhere is on Now without a reload', async () => {
  const { page, server } = desk
  await page.goto('/')
  await section('Needs a person').waitFor()
  await server.api('POST', '/records/incident', { fields: { title: 'The lift is stuck', impact: 'high', urgency: 'high' } })
  await section('Needs a person').getByText('The lift is stuck').waitFor()
  desk.clean()
})

test('without a channel Now says that nobody will be paged', async () => {
  const { page, server } = desk
  await page.goto('/')
  const warning = page.getByRole('alert').getByText('Nobody will be paged.')
  await warning.waitFor()
  await server.api('POST', '/records/channel', { key: 'mail', fields: { type: 'smtp', settings: { host: '127.0.0.1', port: 9, security: 'none', from: 'mainstay@example.org' }, to: 'on-call@example.org' } })
  await warning.waitFor({ state: 'hidden' })
  desk.clean()
})

test('an announcement stands on top while its time lasts', async () => {
  const { page, server } = desk
  const { key } = await server.api('POST', '/records/announcement', { fields: { title: 'The lift is checked on Friday', text: 'Use the stairs.' } })
  await server.api('POST', `/records/announcement/${key}/transitions/publish`, {})
  await page.goto('/')
  const list = page.getByRole('list', { name: 'Announcements' })
  await list.getByText('The lift is checked on Friday').waitFor()
  await server.api('PATCH', `/records/announcement/${key}`, { fields: { ends_at: '2020-01-01T00:00:00Z' } })
  await list.waitFor({ state: 'hidden' })
  desk.clean()
})

test('a waiting run is approved on Now', async () => {
  const { page, server } = desk
  const { key } = await server.api('POST', '/records/runbook-run', { fields: { title: 'Grow the disk of pg-1', reason: 'It is nearly full' }, links: [{ type: 'of', to: 'grow-disk' }, { type: 'on', to: 'pg-1' }] })
  await page.goto('/')
  await page.getByRole('button', { name: 'Approve Grow the disk of pg-1' }).click()
  await page.getByText('No run waits for anybody.').waitFor()
  const run = await server.get('runbook-run', key)
  assert.notEqual(run.state, 'proposed')
  assert.equal(run.fields.approved_by, 'ana')
  desk.clean()
})

test('what a runbook asks of a person is answered on Now', async () => {
  const { page, server } = desk
  await server.api('POST', '/records/runbook', { key: 'change-fan', fields: { title: 'Change the fan', approval: 'none', steps: [{ ask: 'Change the fan in rack 3.' }] } })
  const { key } = await server.api('POST', '/records/runbook-run', { fields: { title: 'A new fan', reason: 'It is loud' }, links: [{ type: 'of', to: 'change-fan' }] })
  await page.goto('/')
  await page.getByText('Change the fan in rack 3.').waitFor()
  await page.getByRole('button', { name: 'It did not work A new fan' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Note for the timeline').fill('There is no spare one.')
  await page.keyboard.press('Control+Enter')
  await page.getByText('No run waits for anybody.').waitFor()
  await server.until('the run has failed', async () => (await server.get('runbook-run', key)).state === 'failed')
  await page.goto(`/r/runbook-run/${key}`)
  await page.getByText('There is no spare one.').first().waitFor()
  desk.clean()
})

test('the palette finds a class, a record and an act', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.keyboard.press('Control+k')
  const box = page.getByRole('combobox', { name: 'Search or run a command' })
  await box.fill('checks')
  await page.getByRole('option', { name: /^Checks/ }).click()
  await page.waitForURL(/\/r\/check/)
  await page.keyboard.press('Control+k')
  await box.fill('front of the shop')
  await page.getByRole('option', { name: /Front of the shop/ }).first().waitFor()
  await page.keyboard.press('Enter')
  await page.waitForURL(/shop-front/)
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await page.keyboard.press('Escape')
  desk.clean()
})

test('the theme is kept', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.keyboard.press('Control+.')
  await page.keyboard.press('Control+.')
  await page.reload()
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
  desk.clean()
})

test('on a phone: the bar at the foot, rows of two lines, nothing wider than the glass', async () => {
  const { server, browser } = desk
  const [incident] = await server.list('incident', 'state:open')
  const { page, context, clean } = await open(browser, server.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, storageState: await desk.context.storageState() })
  for (const path of ['/', '/r/incident?q=', '/r/check?q=', '/profile', `/r/incident/${incident?.key}`, '/r/host/web-1', '/r/check/shop-front']) {
    await page.goto(path)
    await page.locator('main h1').first().waitFor()
    await page.waitForTimeout(400)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.ok(wide <= 0, `${path} is ${wide} px too wide`)
  }
  await page.getByRole('button', { name: 'More', exact: true }).last().tap()
  await page.getByRole('dialog').getByRole('link', { name: 'Hosts' }).tap()
  await page.waitForURL(/\/r\/host/)
  clean()
  await context.close()
})
