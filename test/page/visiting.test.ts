/** That the tests of the page would see what a page must not do. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../support/until.ts';
import { withPalette } from './png.ts';
import { ATTACK, useBrowser } from './visiting.ts';

const { visit } = useBrowser();

/** Answers each path with the page of that name. */
async function serve(pages: Readonly<Record<string, string>>, headers = {}): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    const page = pages[url];
    response.writeHead(page === undefined ? 404 : 200, { 'content-type': 'text/html', ...headers }).end(page);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

const ICON = '<link rel="icon" href="data:,">';

test('a script in a name, a dialog, an error and a broken policy are faults', async () => {
  const origin = await serve({
    '/name': `${ICON}<h1>client ${ATTACK}</h1>`,
    '/dialog': `${ICON}<script>alert("boo")</script>`,
    '/error': `${ICON}<script>throw new Error("broken")</script>`,
    '/well': `${ICON}<h1>well</h1>`,
  });
  const { page, faults, mayTell } = await visit(origin);
  await page.goto('/well');
  expect(faults).toEqual([]);
  mayTell(/Failed to load resource/); // the picture
  for (const [path, what] of [
    ['/name', 'a script in a name ran'],
    ['/dialog', 'dialog: boo'],
    ['/error', 'error: broken'],
  ] as const) {
    await page.goto(path);
    await until(`${path} is a fault`, (saw) => saw(faults).includes(what));
    faults.length = 0;
  }

  const strict = await serve({ '/name': `${ICON}${ATTACK}` }, { 'content-security-policy': "default-src 'none'" });
  const other = await visit(strict);
  await other.page.goto('/name');
  await until('it is a fault', (saw) => saw(other.faults).some((one) => one.includes('script-src-elem')));
  other.faults.length = 0;
});

test('a picture with a palette is the same picture, and smaller', async () => {
  const { page } = await visit('http://none.invalid', { size: { width: 320, height: 200 } });
  await page.setContent(
    `<body style="margin: 0; color: #146; background: #eef"><h1>Ärger</h1><meter value=0.4></meter>`,
  );
  const picture = await page.screenshot();
  const smaller = withPalette(picture);
  expect(smaller.length).toBeLessThan(picture.length);
  await page.setContent(`<body style="margin: 0"><img src="data:image/png;base64,${smaller.toString('base64')}">`);
  expect(withPalette(await page.screenshot()).equals(smaller)).toBe(true);
});
