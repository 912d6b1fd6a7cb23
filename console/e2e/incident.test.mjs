// An incident from the page to the cause: acknowledged, moved on, written about, told live, resolved.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { desk as sitDown, NAME } from './browser.mjs'

/** @type {Awaited<ReturnType<typeof sitDown>>} */
let desk
/** Key of the incident that Mainstay made by itself. */
let key = ''

before(async () => {
  desk = await sitDown()
  key = (await desk.server.list('incident', 'fingerprint:"check:shop-front"'))[0]?.key ?? ''
})
after(() => desk?.close())

test('it says what is hit, what raised it, and what depends on that', async () => {
  const { page } = desk
  await page.goto(`/r/incident/${key}`)
  await page.getByRole('heading', { level: 1, name: /shop/ }).waitFor()
  await page.getByRole('link', { name: /Front of the shop/ }).first().waitFor()
  await page.getByRole('link', { name: /Web shop/ }).first().waitFor()
  desk.clean()
})

test('it is acknowledged, moved on, written about, and told live', async () => {
  const { page, server } = desk
  await page.goto(`/r/incident/${key}`)
  const timeline = page.getByRole('region', { name: 'Timeline' })
  await timeline.getByText('live', { exact: true }).waitFor()
  await page.keyboard.press('a')
  await timeline.getByText('acknowledged it').waitFor()
  assert.equal((await server.get('incident', key)).owner, NAME)
  await page.keyboard.press('s')
  await timeline.getByText('began to investigate it').waitFor()
  await page.keyboard.press('n')
  await page.keyboard.type('Nobody listens on that port.')
  await page.keyboard.press('Control+Enter')
  await timeline.getByRole('listitem').filter({ hasText: 'Nobody listens on that port.' }).waitFor()
  // Something happens elsewhere: it is told without a reload.
  server.cli('note', 'incident', key, 'The port was moved last night.')
  await timeline.getByText('The port was moved last night.').waitFor()
  desk.clean()
})

test('each entry leads to the one it happened because of', async () => {
  const { page } = desk
  await page.goto(`/r/incident/${key}`)
  const because = page.getByRole('button', { name: /^because of #\d+/ }).first()
  await because.click()
  await page.getByText(/saw|moved|became|critical/i).first().waitFor()
  desk.clean()
})

test('resolving asks for the cause, and the incident can be opened again', async () => {
  const { page, server } = desk
  await page.goto(`/r/incident/${key}`)
  await page.getByRole('button', { name: 'Resolve' }).click()
  const dialog = page.getByRole('dialog', { name: /Resolve/ })
  await dialog.getByLabel(/Cause summary/).fill('The port was moved.')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('button', { name: 'Reopen' }).waitFor()
  const resolved = await server.get('incident', key)
  assert.equal(resolved.state, 'resolved')
  assert.equal(resolved.fields.cause_summary, 'The port was moved.')
  await page.getByRole('button', { name: 'Reopen' }).click()
  await page.getByRole('button', { name: 'Resolve' }).waitFor()
  desk.clean()
})

test('a step that needs an answer marks it, and does not go without', async () => {
  const { page, server } = desk
  const other = (await server.api('POST', '/records/runbook-run', { fields: { reason: 'Disk is nearly full' }, links: [{ type: 'of', to: 'grow-disk' }, { type: 'on', to: 'pg-1' }] })).key
  await page.goto(`/r/runbook-run/${other}`)
  await page.getByRole('button', { name: 'Reject' }).click()
  const dialog = page.getByRole('dialog', { name: /Reject/ })
  await dialog.getByRole('button', { name: /Reject/ }).click()
  await dialog.getByText('Rejection is needed').waitFor()
  await dialog.getByLabel(/Rejection/).fill('Not during the day.')
  await page.keyboard.press('Control+Enter')
  await page.getByText('Rejected', { exact: true }).first().waitFor()
  assert.equal((await server.get('runbook-run', other)).state, 'rejected')
  desk.clean()
})
