// A record's page: fields in place, a stale change, links, drift, health, notes, steps.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { desk as sitDown } from './browser.mjs'

const GIB = 2 ** 30

/** @type {Awaited<ReturnType<typeof sitDown>>} */
let desk

before(async () => void (desk = await sitDown()))
after(() => desk?.close())

test('fields are changed in place, and the toast takes it back', async () => {
  const { page, server } = desk
  await page.goto('/r/host/web-2')
  await page.getByRole('heading', { name: 'Fields' }).waitFor()
  await page.keyboard.press('e')
  const form = page.getByRole('form', { name: 'Fields of web-2' })
  await form.getByLabel('Memory').fill('12 GiB')
  await form.getByLabel('CPU count').fill('-1')
  await form.getByRole('button', { name: /Save/ }).click()
  await form.getByText('must be 0 to 100000, not -1').waitFor()
  await form.getByLabel('CPU count').fill('6')
  await page.keyboard.press('Control+Enter')
  await form.waitFor({ state: 'hidden' })
  assert.equal((await server.get('host', 'web-2')).fields.memory_bytes, 12 * GIB)
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Taken back').waitFor()
  assert.equal((await server.get('host', 'web-2')).fields.memory_bytes, 8 * GIB)
  desk.clean()
})

test('a stale change shows both versions, and the person chooses', async () => {
  const { page, server } = desk
  await page.goto('/r/host/pg-2')
  await page.getByRole('heading', { name: 'Fields' }).waitFor()
  await page.keyboard.press('e')
  const form = page.getByRole('form', { name: 'Fields of pg-2' })
  await form.getByLabel('OS name').fill('Debian GNU/Linux 13')
  await form.getByLabel('Kernel').fill('6.12')
  await server.api('PATCH', '/records/host/pg-2', { fields: { os_name: 'Debian GNU/Linux 12.9' } })
  await form.getByRole('button', { name: /Save/ }).click()
  const dialog = page.getByRole('dialog', { name: 'pg-2 was changed meanwhile' })
  await dialog.getByRole('radio', { name: /there now: Debian GNU\/Linux 12.9/ }).waitFor()
  // What nobody else touched stays ours; what both changed is theirs until we say otherwise.
  await dialog.getByRole('button', { name: 'Save 1 of yours' }).click()
  await form.waitFor({ state: 'hidden' })
  const { fields } = await server.get('host', 'pg-2')
  assert.equal(fields.os_name, 'Debian GNU/Linux 12.9')
  assert.equal(fields.kernel, '6.12')
  desk.clean()
})

test('a link is made with the picker and taken away again', async () => {
  const { page, server } = desk
  const linked = async () => (await server.get('application', 'reports')).links?.some((l) => l.type === 'depends-on' && l.key === 'postgres')
  await page.goto('/r/application/reports')
  await page.getByRole('button', { name: 'Link', exact: true }).click()
  await page.getByLabel('Kind of link').selectOption('depends-on')
  const picker = page.getByRole('combobox', { name: 'Depends on to' })
  await picker.click()
  await picker.pressSequentially('postgr')
  await page.getByRole('option', { name: /postgres/ }).click()
  await page.getByText('postgres is linked').waitFor()
  assert.ok(await linked())
  await page.getByRole('button', { name: 'Take away the link to postgres' }).click()
  await page.getByText('postgres is not linked any more').waitFor()
  assert.ok(!(await linked()))
  desk.clean()
})

test('this machine is known: its tables are searched, and drift from what is declared is settled', async () => {
  const { page, server } = desk
  await server.until('this machine is known', async () => (await server.list('host', '')).some((h) => h.fields.machine_id))
  const here = (await server.list('host', '')).find((h) => h.fields.machine_id)
  assert.ok(here, 'the machine that the tests run on is a host')
  const seen = here.fields.memory_bytes
  await server.api('PATCH', `/records/host/${here.key}`, { fields: { memory_bytes: 3 * GIB } })
  await page.goto(`/r/host/${here.key}`)
  await page.getByRole('button', { name: /^Accept what is seen/ }).click()
  await page.getByText('What is seen is declared now').waitFor()
  assert.equal((await server.get('host', here.key)).fields.memory_bytes, seen)
  await page.getByRole('button', { name: /^Packages/ }).or(page.getByRole('tab', { name: /^Packages/ })).first().click()
  await page.getByLabel('Search packages').fill('libc6')
  await page.getByRole('cell', { name: 'libc6', exact: true }).waitFor()
  // The package's source is called the same, so that its row has two such cells while it is there.
  await page.getByRole('cell', { name: 'bash', exact: true }).first().waitFor({ state: 'hidden' })
  desk.clean()
})

test('health is told with its reason, and what depends on it is drawn', async () => {
  const { page } = desk
  await page.goto('/r/application/shop')
  await page.getByText('Down for').first().waitFor()
  await page.getByText(/127\.0\.0\.1:9/).first().waitFor()
  await page.getByRole('link', { name: /Web shop/ }).first().waitFor()
  desk.clean()
})

test('a sentence is written under a draft that survives a reload', async () => {
  const { page, server } = desk
  await page.goto('/r/host/web-1')
  await page.getByRole('region', { name: 'Timeline' }).waitFor()
  await page.keyboard.press('n')
  await page.keyboard.type('Fan is loud.')
  await page.reload()
  await page.getByRole('region', { name: 'Timeline' }).getByText('Fan is loud.').waitFor()
  await page.keyboard.press('n')
  await page.keyboard.press('Control+Enter')
  await page.getByRole('region', { name: 'Timeline' }).getByRole('listitem').filter({ hasText: 'Fan is loud.' }).waitFor()
  const { entries } = await server.api('GET', '/records/host/web-1/journal?limit=5')
  assert.ok(entries.some((/** @type {{ note: string }} */ e) => e.note === 'Fan is loud.'))
  desk.clean()
})

test('a thing in use is retired from the menu, and comes back', async () => {
  const { page, server } = desk
  await page.goto('/r/host/web-2')
  await page.getByRole('button', { name: 'More', exact: true }).last().click()
  await page.getByRole('menuitem', { name: 'Retire' }).click()
  await page.getByText('Retired', { exact: true }).first().waitFor()
  assert.equal((await server.get('host', 'web-2')).state, 'retired')
  await page.getByRole('button', { name: 'Activate' }).click()
  await page.getByText('Active', { exact: true }).first().waitFor()
  desk.clean()
})

test('a check tells when it last had an answer, though nothing about it changed', async () => {
  const { server } = desk
  const before = await server.get('check', 'shop-front')
  await server.until('the check is asked again', async () => String((await server.get('check', 'shop-front')).fields.last_checked) > String(before.fields.last_checked))
  assert.equal((await server.get('check', 'shop-front')).version, before.version)
})

test('what was measured is drawn, with its values in a table, over the time that is asked for', async () => {
  const { page, server } = desk
  const here = (await server.list('host', '')).find((h) => h.fields.machine_id)
  await page.goto(`/r/host/${here?.key}`)
  const disk = page.getByRole('region', { name: 'Disk used' })
  await disk.getByRole('img').waitFor()
  await disk.getByRole('cell', { name: /^\d.* %$/ }).first().waitFor()
  await page.getByRole('button', { name: '7 d' }).click()
  await disk.locator('canvas').waitFor()
  await page.getByRole('button', { name: /^\d+ more$/ }).last().click()
  await page.getByRole('region', { name: 'Memory total' }).waitFor()
  desk.clean()
})

test('what does not exist is said, with a way back', async () => {
  const { page } = desk
  await page.goto('/r/host/nowhere')
  await page.getByText(/nowhere/).first().waitFor()
  await page.goto('/r/hots')
  await page.getByText(/hots/).first().waitFor()
  desk.clean()
})
