/**
 * `npm run screenshots [-- FOLDER]`: pictures of the page on the demo's fleet, for README and docs. They go to docs/images unless a folder is named. Make
 * them anew when the look of the page has changed. CI only shows that the script works.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { COMPILED } from '../support/compiled.ts';
import { until } from '../support/patient.ts';
import { withPalette } from './png.ts';

const ROOT = join(import.meta.dirname, '../..');
const WHOLE_DEMO_MS = 90_000;

/** In bytes: readers load all of them. */
const LARGEST = 150_000;

const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1120, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1120, height: 900 } },
  narrow: { colorScheme: 'light', viewport: { width: 360, height: 900 } },
} as const;

/** How each comes to be on the screen; each starts on the fleet. */
const SCENES: Readonly<Record<string, (page: Page) => Promise<unknown>>> = {
  fleet: async () => {},
  clients: (page) => page.goto('/clients'),
  // Its old key is on its way out: what is planned is shown, too.
  client: (page) => showClient(page, 'overlap-eddsa'),
  async compromise(page) {
    await page.goto('/compromise?what=policy&policy=overlap-es256');
    await page.getByLabel('Reason').fill('Their private keys were in a log');
    await page.getByRole('button', { name: 'Show what would happen' }).click();
    await page.getByRole('heading', { name: 'Replace leaked keys?' }).waitFor();
  },
};

/** The first of a policy's clients: those that need a person come first. */
async function showClient(page: Page, policy: string): Promise<void> {
  await page.goto(`/clients?policy=${policy}`);
  await page.locator('table a').first().click();
  await page.getByRole('heading', { name: 'Lifeline' }).waitFor();
}

const folder = resolve(process.argv[2] ?? join(ROOT, 'docs/images'));
await mkdir(folder, { recursive: true });
const dir = await mkdtemp(join(tmpdir(), 'rekeyd-screenshots-'));
const demo = spawn(process.execPath, [join(ROOT, 'test/demo/main.ts'), '--serve'], {
  cwd: dir,
  env: { PATH: process.env.PATH, ...COMPILED },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let browser: Browser | null = null;
try {
  browser = await launchBrowser();
  const link = await linkOf(demo.stdout);
  for (const look of Object.keys(LOOKS) as (keyof typeof LOOKS)[]) await takeAll(browser, link, look);
} finally {
  await browser?.close();
  demo.kill('SIGINT');
  if (demo.exitCode === null) await once(demo, 'exit');
  await rm(dir, { recursive: true, force: true });
}

async function linkOf(output: NodeJS.ReadableStream): Promise<string> {
  let said = '';
  output.on('data', (chunk) => {
    said += chunk;
  });
  return until('the demo prints its link', (saw) => /http:\S+#token=\S+/.exec(saw(said))?.[0], WHOLE_DEMO_MS);
}

async function takeAll(from: Browser, link: string, look: keyof typeof LOOKS): Promise<void> {
  const context = await from.newContext({ ...LOOKS[look], baseURL: new URL(link).origin, reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  for (const [name, show] of Object.entries(SCENES)) {
    await page.goto('/');
    await show(page);
    // It says so once it has heard from the server.
    if ((await page.locator('[data-live]').count()) > 0) await page.locator('#live').getByText('live').waitFor();
    const file = join(folder, `${name}-${look}.png`);
    const picture = withPalette(await page.screenshot());
    if (picture.length > LARGEST) throw new Error(`${file} has ${picture.length} bytes; the most is ${LARGEST}`);
    await writeFile(file, picture);
    process.stdout.write(`${file}: ${Math.round(picture.length / 1024)} KiB\n`);
  }
  await context.close();
}
