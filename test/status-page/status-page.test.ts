import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chromiumPath, screenshot, startBrowser } from './browser.js';
import { healthy, Site, shared, wrongMac } from './site.js';

if (chromiumPath === undefined) process.stdout.write('the status page is not tested: there is no chromium here\n');

/** Generous: on a busy machine a page takes its time. */
const deadline = { timeout: 20_000 };

describe.skipIf(chromiumPath === undefined)('the status page (needs chromium)', { timeout: 90_000 }, () => {
  let browser: Browser;
  let site: Site;
  let page: Page;
  /** Whatever the browser complains of, and whomever else the page asks. */
  let complaints: string[];

  beforeAll(async () => {
    browser = await startBrowser();
  }, 60_000);
  afterAll(() => browser?.close());
  beforeEach(async () => {
    site = new Site();
    site.write(
      'nodeStarted',
      'r1 started koi 0.1.0 with 1 virtual router',
      null,
      new Date(Date.now() - 26 * 3_600_000),
    );
    site.write(
      'claimed',
      'gw r1 claimed term 7: preempting (priority 200, 10.77.0.1)',
      null,
      new Date(Date.now() - 3 * 3_600_000),
    );
    await site.open();
  });
  afterEach(async () => {
    await page?.context().close();
    await site.close();
  });

  async function visit(options: BrowserContextOptions = {}): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: 'en-GB', ...options });
    page = await context.newPage();
    page.setDefaultTimeout(deadline.timeout);
    complaints = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().includes('ERR_CONNECTION_REFUSED'))
        complaints.push(message.text());
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(site.url) && !request.url().startsWith('data:'))
        complaints.push(`asks ${request.url()}`);
    });
    await page.goto(site.url, deadline);
    await page
      .getByText('All is well')
      .waitFor(deadline)
      .catch(async (error: unknown) => {
        throw new Error(`${String(error)}\n${complaints.join('\n')}\n${await page.textContent('body')}`);
      });
  }

  const says = (text: string | RegExp): Promise<void> => page.getByText(text).first().waitFor(deadline);

  it('says who is master and why, since when, and that all is well; and bothers nobody else', async () => {
    await visit();
    await says('r1 is master');
    await says('master: it holds term 7, and the log has its claim');
    await says('for 3 h');
    await says('10.77.0.254, 2001:db8::254');
    await says('gw r1 claimed term 7: preempting');
    expect(await page.title()).toBe('r1 – koi');
    await screenshot(page, 'well');
    expect(complaints).toEqual([]);
  });

  it('shows a failover while it is open, without being loaded again', async () => {
    await visit();
    await look("document.body.setAttribute('data-loaded', 'once')");
    site.failOver();
    await says('r2 is master');
    await says('gw cannot be served by r1');
    await says('gw r2 active term 8: detect 21.4 ms');
    await says('because gw r1 released term 7: carrier_lost');
    expect(await page.getAttribute('body', 'data-loaded')).toBe('once');
    expect(await page.title()).toContain('1 warning');
    // The newest stands first.
    expect(await page.locator('#timeline li').first().textContent()).toContain('gw r2 active term 8');
    await screenshot(page, 'failover');
    expect(complaints).toEqual([]);
  });

  it('puts what is wrong first, with the evidence and the remedy, and takes it away when it is over', async () => {
    await visit();
    site.status = { ...healthy(), episodes: [wrongMac], log: { connected: false, server: null, outbox: 12, lag: 0 } };
    await says('gw: somebody binds a virtual IP to a MAC that is not its virtual MAC');
    await says('Seen by r2, about 52:54:00:12:34:56.');
    await says('frame=ARP reply for 10.77.0.100');
    await says(/set arp_ignore=1 and arp_announce=2 there/);
    await says('This node cannot reach the event log');
    expect(await page.locator('#headline').textContent()).toBe('1 failure and 1 warning');
    expect(await page.locator('#problems li').first().textContent()).toContain('MAC that is not its');
    await screenshot(page, 'wrong');
    site.status = healthy();
    await says('All is well');
    expect(await page.locator('#problems li').count()).toBe(0);
  });

  it('says so when koi does not answer, keeps what it knew, and goes on when koi is back', async () => {
    await visit();
    await site.close();
    await says(/no answer from koi/);
    await says('r1 is master');
    await screenshot(page, 'away');
    await site.open();
    site.write('transition', 'gw r1 came back');
    await page.locator('#live', { hasText: /^live$/ }).waitFor(deadline);
    await says('gw r1 came back');
  });

  it('can be used with the keyboard alone, and stays where one is', async () => {
    await visit();
    await page.keyboard.press('Tab');
    expect(await look('document.activeElement.textContent')).toBe('To the timeline');
    await page.keyboard.press('Tab');
    expect(await look('document.activeElement.tagName')).toBe('SUMMARY');
    const isOpen = (): Promise<unknown> => look("document.querySelector('details').open");
    expect(await isOpen()).toBe(true);
    await page.keyboard.press('Enter');
    expect(await isOpen()).toBe(false);
    await screenshot(page, 'keyboard');
    // It is drawn again meanwhile, and neither opens by itself nor loses the keyboard.
    site.failOver();
    await says('r2 is master');
    expect(await isOpen()).toBe(false);
    expect(await look('document.activeElement.tagName')).toBe('SUMMARY');
    await page.keyboard.press('Tab');
    expect(await look('document.activeElement.id')).toBe('of');
    await page.keyboard.press('Tab');
    expect(await look('document.activeElement.id')).toBe('kind');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.getByText('Nothing so far.').waitFor(deadline);
    await page.keyboard.press('Home');
    await says('gw r2 active term 8');
  });

  /** What an expression is in the page. */
  const look = (expression: string): Promise<unknown> => page.evaluate(expression);

  it('can be read on a phone, and in the dark', async () => {
    await visit({ viewport: { width: 360, height: 740 }, colorScheme: 'dark', deviceScaleFactor: 2 });
    site.failOver();
    site.status = { ...site.status, episodes: [wrongMac] };
    await says('r2 is master');
    await says('Seen by r2, about 52:54:00:12:34:56.');
    const width = await look('document.documentElement.scrollWidth');
    const background = await look('getComputedStyle(document.body).backgroundColor');
    expect(width).toBeLessThanOrEqual(360);
    expect(background).toBe('rgb(16, 21, 28)');
    await screenshot(page, 'phone-dark');
    const thin =
      "[...document.querySelectorAll('select, summary')].filter((each) => each.getBoundingClientRect().height < 32)";
    const small = await look(`${thin}.length`);
    expect(small, 'things too small for a thumb').toBe(0);
  });

  it.each([
    ['phone-dark', 360, 'dark'],
    ['phone', 360, 'light'],
    ['tablet-dark', 760, 'dark'],
  ] as const)('gives what is said of three virtual routers the room there is: %s', async (name, width, colorScheme) => {
    await visit({ viewport: { width, height: 800 }, colorScheme });
    site.status = { ...shared(), episodes: [wrongMac] };
    await says('storage cannot be served by r2');
    expect(await look('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    const narrowest = await look(
      "Math.min(...[...document.querySelectorAll('dd')].map((each) => each.clientWidth / each.closest('.card').clientWidth))",
    );
    expect(narrowest).toBeGreaterThan(0.6);
    const lines =
      '(each) => { const all = document.createRange(); all.selectNodeContents(each); return all.getClientRects().length; }';
    const words = "[...document.querySelectorAll('thead th')].filter((each) => !each.textContent.includes(' '))";
    expect(await look(`Math.max(0, ...${words}.map(${lines}))`), 'lines of a heading of one word').toBeLessThanOrEqual(
      1,
    );
    await screenshot(page, `three-${name}`);
  });

  it('shows the newest of a long timeline, and the older ones when asked', async () => {
    for (let at = 0; at < 80; at += 1) site.write('transition', `gw r1 line ${at}`);
    await visit();
    await says('gw r1 line 79');
    const lines = (): Promise<number> => page.locator('#timeline li:not(.day)').count();
    expect(await lines()).toBe(60);
    await page.getByRole('button', { name: 'Show older' }).press('Enter');
    await says('gw r1 claimed term 7');
    expect(await lines()).toBe(82);
  });

  it('shows names as text, whatever is in them', async () => {
    await visit();
    site.status = { ...healthy(), warnings: ['<img src=x onerror=alert(1)><script>alert(2)</script>'] };
    site.write('episodeBegan', 'gw r1 ALARM <b onclick=alert(3)>bold</b>');
    await says('<img src=x onerror=alert(1)><script>alert(2)</script>');
    await says('gw r1 ALARM <b onclick=alert(3)>bold</b>');
    expect(await page.locator('#problems img, #timeline b').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('keeps up with two hundred virtual routers', async () => {
    const [gw] = healthy().vrs;
    if (gw === undefined) throw new Error('there is no virtual router');
    const many = (term: number) => Array.from({ length: 200 }, (_, at) => ({ ...gw, name: `vr${at}`, term }));
    await visit();
    site.status = { ...healthy(), vrs: many(7) };
    await says('All is well: 200 virtual routers on 2 nodes');
    site.status = { ...healthy(), vrs: many(9) };
    await says('term 9');
    const took = Number(
      await look('(() => { const at = performance.now(); show(); return performance.now() - at; })()'),
    );
    await page.getByLabel('Find').fill('vr17');
    await says('11 of 200');
    expect(await page.locator('#vrs details').count()).toBe(11);
    await page.locator('#vrs summary').first().click();
    await says('master: it holds term 7, and the log has its claim');
    await screenshot(page, 'found');
    process.stdout.write(`drawing 200 virtual routers again: ${took.toFixed(0)} ms\n`);
    expect(complaints).toEqual([]);
  });
});
