// The way in: first administrator, wrong password, second factor, a token, and the way out.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { launch, NAME, open, PASSWORD, signIn, totp } from './browser.mjs'
import { Mainstay } from './mainstay.mjs'

/** @type {import('playwright-core').Browser} */
let browser
/** @type {Mainstay} */
let server
/** @type {Awaited<ReturnType<typeof open>>} */
let desk

before(async () => {
  server = await Mainstay.start()
  browser = await launch()
  desk = await open(browser, server.url)
})
after(async () => {
  await browser?.close()
  await server?.close()
})

/** @param {import('playwright-core').Page} page @param {string} password */
async function enter(page, password) {
  await page.getByLabel('Name').fill(NAME)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

test('a password that everybody knows is refused at its field', async () => {
  const { page } = desk
  await page.goto(`/bootstrap?token=${server.bootstrap}`)
  await page.getByLabel('Sign-in name').fill(NAME)
  await page.getByLabel('Password').fill('correct horse battery staple')
  await page.getByRole('button', { name: 'Open Mainstay' }).click()
  await page.getByText('one of the first passwords that somebody would try').waitFor()
  desk.clean()
})

test('the one-time link makes the first administrator and is spent', async () => {
  await signIn(desk.page, server.bootstrap)
  assert.equal(new URL(desk.page.url()).search, '')
  const { page, context } = await open(browser, server.url)
  await page.goto(`/bootstrap?token=${server.bootstrap}`)
  await page.getByText('This link has been used').waitFor()
  await context.close()
  desk.clean()
})

test('a wrong password is refused in words, and the right one right after it opens', async () => {
  const { page, context, clean } = await open(browser, server.url)
  await page.goto('/')
  await enter(page, 'not this one')
  await page.getByRole('alert').waitFor()
  await enter(page, PASSWORD)
  await page.getByRole('heading', { name: 'Now', exact: true }).waitFor()
  clean()
  await context.close()
})

test('a deep link asks for the name first, then shows what it points at', async () => {
  const { page, context, clean } = await open(browser, server.url)
  await page.goto('/r/check?q=protocol:disk')
  await enter(page, PASSWORD)
  await page.getByRole('grid').waitFor()
  assert.match(page.url(), /protocol:disk/)
  clean()
  await context.close()
})

test('a second step is set up, asked for at sign-in, and taken away again', async () => {
  const { page } = desk
  await page.goto('/profile')
  await page.getByRole('button', { name: 'Set it up' }).click()
  await page.getByRole('img', { name: /secret for an authenticator/ }).waitFor()
  const address = await page.getByText('otpauth://').innerText()
  const secret = new URL(address.trim()).searchParams.get('secret') ?? ''
  await page.getByLabel('Code that the authenticator shows').fill('000000')
  await page.getByRole('button', { name: 'Turn it on' }).click()
  await page.getByText('This is not the code of this moment').waitFor()
  await page.getByLabel('Code that the authenticator shows').fill(totp(secret, Date.now()))
  await page.getByRole('button', { name: 'Turn it on' }).click()
  const codes = page.getByRole('list', { name: 'Recovery codes' })
  await codes.waitFor()
  const recovery = await codes.getByRole('listitem').allInnerTexts()
  assert.equal(recovery.length, 10)

  const { page: other, context, clean } = await open(browser, server.url)
  await other.goto('/')
  await enter(other, PASSWORD)
  await other.getByRole('heading', { name: 'Second step' }).waitFor()
  // A code counts once: the next step's is accepted a step early.
  await other.getByLabel('Code').fill(totp(secret, Date.now() + 30_000))
  await other.getByRole('button', { name: 'Sign in' }).click()
  await other.getByRole('heading', { name: 'Now', exact: true }).waitFor()
  await other.goto('/profile')
  await other.getByText('on', { exact: true }).waitFor()
  clean()
  await context.close()

  await page.goto('/profile')
  await page.getByLabel('Password, to turn it off').fill(PASSWORD)
  await page.getByRole('button', { name: 'Turn it off' }).click()
  await page.getByText('off', { exact: true }).waitFor()
  desk.clean()
})

test('a token is shown once, works, and ends when it is revoked', async () => {
  const { page } = desk
  await page.goto('/profile')
  await page.getByLabel('What it is for').fill('backup script')
  await page.getByRole('button', { name: 'Make a token' }).click()
  const token = (await page.getByText(/^mst_/).innerText()).trim()
  const ask = () => fetch(`${server.url}/api/v1/records/host`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal((await ask()).status, 200)
  await page.reload()
  await page.getByText('backup script').waitFor()
  assert.equal(await page.getByText(/^mst_/).count(), 0)
  await page.getByRole('button', { name: 'Revoke backup script' }).click()
  await page.getByRole('button', { name: 'Revoke backup script' }).waitFor({ state: 'detached' })
  assert.equal((await ask()).status, 401)
  desk.clean()
})

test('signing out leaves nothing behind', async () => {
  const { page } = desk
  await page.goto('/')
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor()
  await page.locator('aside').getByRole('button', { name: /Ana Petrova/ }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  await page.goBack()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  desk.clean()
})
