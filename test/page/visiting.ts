/** People who look at the page: a Chromium for each test file, a session of its own for each visitor, and an eye on all that a page must not do. */
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished } from 'vitest';
import { launchBrowser, noBrowser } from '../support/browser.ts';

/** In ms: how long a page may take to come to what is waited for, on a machine that is busy with other tests. */
const PATIENCE_MS = 20_000;

/** What the markup of a test calls in case it is run. */
export const ATTACK = '<script>attacked()</script><img src=x onerror=attacked()>';

/** Runs in each page, before its own scripts. */
const TELL_VIOLATIONS = `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
  console.error('content security policy: ' + violatedDirective + ' ' + blockedURI))`;

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 720 };

export interface VisitOptions {
  /** False: scripts are switched off. */
  readonly scripts?: boolean;
  readonly scheme?: 'light' | 'dark';
  readonly size?: typeof DESKTOP;
}

export interface Visit {
  readonly page: Page;
  /** What a page did that none may do: a script of a name ran, a dialog came, the policy for content was broken, the console told of an error. */
  readonly faults: string[];
  /** From now on, the console may tell of this: Chromium writes a line there for each answer that is an error. */
  mayTell(what: RegExp): void;
}

export interface Visitors {
  /** A browser that knows nothing yet. When the test ends it is closed, and had no faults. */
  visit(origin: string, options?: VisitOptions): Promise<Visit>;
}

/** For one test file. Where there is no browser its tests are left out. */
export function useBrowser(): Visitors {
  let browser: Browser | null = null;
  beforeAll(async () => {
    if (noBrowser === null) browser = await launchBrowser();
  });
  beforeEach(({ skip }) => {
    if (noBrowser !== null) skip(noBrowser);
  });
  afterAll(() => browser?.close());

  return {
    async visit(origin, options = {}) {
      if (browser === null) throw new Error('there is no browser');
      const context = await browser.newContext(contextOf(origin, options));
      const faults: string[] = [];
      onTestFinished(async () => {
        await context.close();
        expect(faults, 'what no page may do').toEqual([]);
      });
      return watched(context, faults);
    },
  };
}

function contextOf(origin: string, { scripts = true, scheme = 'light', size = DESKTOP }: VisitOptions) {
  return {
    baseURL: origin,
    javaScriptEnabled: scripts,
    colorScheme: scheme,
    viewport: size,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
  } satisfies BrowserContextOptions;
}

async function watched(context: BrowserContext, faults: string[]): Promise<Visit> {
  const allowed: RegExp[] = [];
  const tell = (what: string) => {
    if (!allowed.some((one) => one.test(what))) faults.push(what);
  };
  context.setDefaultTimeout(PATIENCE_MS);
  await context.exposeFunction('attacked', () => tell('a script in a name ran'));
  await context.addInitScript({ content: TELL_VIOLATIONS });
  context.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') tell(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => tell(`error: ${error.error().message}`));
  context.on('dialog', async (dialog) => {
    tell(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  const page = await context.newPage();
  return { page, faults, mayTell: (what) => void allowed.push(what) };
}
