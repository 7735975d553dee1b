// The dashboard in a real browser: every page in light and dark, on a desk and on a phone, judged by axe-core, with a
// picture of each; then the keys. `make dashboard-check` runs it; SPRAT names the binary, CHROMIUM the browser.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { ask, demo, empty, kinds, root, serve, traffic } from './workspaces.mjs';

const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
const pictures = join(root, 'target/dashboard');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const wrong = [];
const check = (holds, what) => {
  if (!holds) wrong.push(what);
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}`);
};

const sizes = { desk: { width: 1280, height: 900 }, phone: { width: 360, height: 740, isMobile: true, hasTouch: true } };

async function look(browser, base, name, path) {
  for (const scheme of ['light', 'dark']) {
    for (const [size, viewport] of Object.entries(sizes)) {
      const where = `${name}, ${scheme}, ${size}`;
      const page = await browser.newPage();
      const said = [];
      page.on('console', (message) => ['error', 'warn'].includes(message.type()) && said.push(message.text()));
      page.on('pageerror', (error) => said.push(String(error)));
      await page.setViewport({ ...viewport, deviceScaleFactor: size === 'phone' ? 2 : 1 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      await page.evaluateOnNewDocument(() => {
        window.shifted = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });
      });
      await page.goto(base + path, { waitUntil: 'networkidle2' });
      const measured = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, shifted: window.shifted }));
      await page.screenshot({ path: join(pictures, `${name}-${size}-${scheme}.png`), fullPage: true });
      check(measured.width <= viewport.width, `${where}: nothing is wider than the screen (${measured.width})`);
      check(measured.shifted < 0.02, `${where}: nothing moves while it loads (${measured.shifted.toFixed(4)})`);
      check(said.length === 0, `${where}: the browser complains of nothing ${said.join(' | ')}`);
      await judge(page, where);
      await page.close();
    }
  }
}

async function judge(page, where) {
  // Through the debugger's world: the page's own policy lets in no script of ours.
  await page.evaluate(`${axe}; undefined`);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map(({ id, impact, nodes }) => `${impact}: ${id} at ${nodes.map((node) => node.target.join(' ')).slice(0, 3).join(', ')}`);
  check(violations.length === 0, `${where}: axe finds nothing ${told.join(' | ')}`);
}

/** What the review page says of its progress. */
const progress = (page) => page.$eval('.progress span', (span) => span.textContent);
const question = (page) => page.$eval('blockquote', (quote) => quote.textContent);
const changed = (page, from) => page.waitForFunction((from) => document.querySelector('blockquote')?.textContent !== from, {}, from);

async function walk(browser, base) {
  const page = await browser.newPage();
  await page.setViewport(sizes.desk);
  await page.goto(`${base}/review/tickets`, { waitUntil: 'networkidle2' });
  const [began, first] = [await progress(page), await question(page)];
  await page.keyboard.press('1');
  await changed(page, first);
  const label = await page.$eval('.said strong', (said) => said.textContent);
  check((await progress(page)) !== began, `a key labels: ${began} became ${await progress(page)} (${label})`);
  check((await page.evaluate(() => document.activeElement.id)) === 'ask-heading', 'the next question has the focus');
  await page.screenshot({ path: join(pictures, 'review-labelled-desk-light.png'), fullPage: true });
  const second = await question(page);
  await page.keyboard.press('u');
  await changed(page, second);
  check((await question(page)) === first && (await progress(page)) === began, 'u takes the label back and asks again');
  await page.keyboard.press('s');
  await changed(page, first);
  check((await progress(page)) === began, 's skips and labels nothing');
  const third = await question(page);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  const chosen = await page.evaluate(() => document.activeElement.value);
  await page.keyboard.press('Enter');
  await changed(page, third);
  const kept = await page.$eval('.said strong', (said) => said.textContent);
  check(kept === chosen, `arrows choose and Enter labels (${chosen})`);
  await page.keyboard.press('/');
  await page.keyboard.type('refu');
  const left = await page.$$eval('.choice:not([hidden])', (choices) => choices.map((choice) => choice.value));
  check(left.length === 1 && left[0] === 'refund', `/ finds a label (${left})`);
  const fourth = await question(page);
  await page.keyboard.press('Enter');
  await changed(page, fourth);
  check((await page.$eval('.said strong', (said) => said.textContent)) === 'refund', 'Enter takes what was found');
  await page.close();
}

async function listens(browser, base, clients) {
  const page = await browser.newPage();
  await page.setViewport(sizes.desk);
  await page.goto(`${base}/requests`, { waitUntil: 'networkidle2' });
  const newest = () => page.$eval('.lines details', (details) => details.id);
  const before = await newest();
  await ask(clients, 'where is my parcel? tracking says nothing since monday');
  await page.waitForFunction((before) => document.querySelector('.lines details').id !== before, { timeout: 10_000 }, before);
  check(true, 'a new request appears by itself');
  await page.focus('.lines li:nth-child(3) summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.lines details[open] .steps');
  const open = await page.$eval('.lines details[open]', (details) => details.id);
  const above = await newest();
  await ask(clients, 'i would like my money back');
  await new Promise((done) => setTimeout(done, 4_500));
  const still = await page.evaluate((open) => document.activeElement.closest('details')?.id === open, open);
  check(still && (await newest()) === above, 'the list stays as it is while somebody reads one of them');
  await page.screenshot({ path: join(pictures, 'requests-open-desk-light.png') });
  await judge(page, 'requests, one open');
  await page.keyboard.press('Enter');
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(5, 5);
  await page.waitForFunction((above) => document.querySelector('.lines details').id !== above, { timeout: 10_000 }, above);
  check(true, 'and goes on afterwards');
  await page.close();
}

/** The overview is fetched again while it is shown; its charts come back. */
async function refreshes(browser, base) {
  const page = await browser.newPage();
  await page.setViewport(sizes.desk);
  await page.goto(`${base}/tasks/tickets`, { waitUntil: 'networkidle2' });
  await page.evaluate(() => htmx.ajax('GET', '/tasks/tickets', { source: '#live', target: '#live', select: '#live', swap: 'outerHTML' }));
  await page.waitForSelector('.chart .uplot');
  const drawn = await page.$$eval('.chart', (boxes) => boxes.map((box) => box.querySelectorAll('.uplot').length));
  check(drawn.join() === '1,1', `fetched again, each chart is drawn once (${drawn})`);
  await page.click('.lines summary');
  await page.waitForSelector('.lines .why .steps');
  check(true, 'a request of a task opens');
  const plot = await page.$('.chart .u-over');
  await plot.scrollIntoView();
  const box = await plot.boundingBox();
  // In steps: a chart hears a mouse that moves, not one that is there all at once. To the last hour, still inside.
  await page.mouse.move(box.x + box.width / 2, box.y + 80);
  await page.mouse.move(box.x + box.width - 3, box.y + 80, { steps: 5 });
  await page.waitForSelector('.tip:not([hidden])');
  check(/with Sprat: \$/.test(await page.$eval('.tip:not([hidden])', (tip) => tip.textContent)), 'a chart tells its numbers');
  await page.screenshot({ path: join(pictures, 'task-open-desk-light.png'), fullPage: true });
  await page.close();
}

async function withoutScripts(browser, base) {
  const page = await browser.newPage();
  await page.setViewport(sizes.desk);
  await page.setJavaScriptEnabled(false);
  await page.goto(`${base}/`, { waitUntil: 'networkidle2' });
  await page.screenshot({ path: join(pictures, 'overview-no-scripts.png'), fullPage: true });
  const text = await page.$eval('.series', (table) => table.textContent);
  check(/\d/.test(text), 'without scripts the numbers are in a table');
  await page.close();
}

/** What `sprat serve --shadow` shows, before and after there is anything to show. */
async function inShadow(browser, folder) {
  await serve(folder, ['--shadow'], async ({ clients, base }) => {
    await look(browser, base, 'shadow-unseen', '/tasks/tickets');
    await traffic(clients, folder, 60);
    // What was watched is kept within a second.
    await new Promise((done) => setTimeout(done, 2_500));
    await look(browser, base, 'shadow-overview', '/');
    await look(browser, base, 'shadow-task', '/tasks/tickets');
    const page = await browser.newPage();
    await page.goto(`${base}/tasks/tickets`, { waitUntil: 'networkidle2' });
    const told = await page.$eval('[aria-labelledby="shadow-heading"]', (section) => section.innerText);
    check(/about \$/.test(told), `a task in shadow says what it would have saved: ${told.replace(/\s+/g, ' ')}`);
    await page.close();
  });
}

async function everyKind(browser, folder) {
  await serve(folder, [], async ({ clients, base }) => {
    for (const [task, text] of [['comments', 'cheap offer in the garden'], ['bookings', 'table for 5 on 24/12/2026']]) {
      await ask(clients, text, task);
    }
    for (const [name, path] of [['kinds', '/'], ['moderation', '/tasks/comments'], ['extraction', '/tasks/bookings'], ['untaught', '/tasks/untaught']]) {
      await look(browser, base, name, path);
    }
    await look(browser, base, 'review-nothing', '/review/untaught');
    await look(browser, base, 'review-record', '/review/bookings');
    await look(browser, base, 'review-several', '/review/comments');
  });
}

async function nothing(browser, folder) {
  await serve(folder, [], async ({ base }) => {
    for (const [name, path] of [['empty', '/'], ['empty-requests', '/requests'], ['empty-review', '/review']]) {
      await look(browser, base, name, path);
    }
  });
}

async function main() {
  mkdirSync(pictures, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'sprat-dashboard-'));
  let browser;
  try {
    browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'] });
    await nothing(browser, empty(folder));
    await everyKind(browser, kinds(folder));
    const shop = demo(folder);
    await serve(shop, [], async ({ clients, base }) => {
      const failed = await traffic(clients, shop, 200);
      await look(browser, base, 'overview', '/');
      await look(browser, base, 'task', '/tasks/tickets');
      await look(browser, base, 'requests', '/requests');
      await look(browser, base, 'request', `/requests/${failed}`);
      await look(browser, base, 'review-tasks', '/review');
      await look(browser, base, 'review', '/review/tickets');
      await walk(browser, base);
      await listens(browser, base, clients);
      await refreshes(browser, base);
      await withoutScripts(browser, base);
    });
    await inShadow(browser, shop);
  } finally {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(wrong.length === 0 ? `all is well; pictures in ${pictures}` : `${wrong.length} wrong`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

await main();
