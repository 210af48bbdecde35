/** Chromium without a window, where it is installed: the tests drive it with playwright-core, and the script that makes the screenshots does. */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

/** As Debian, Alpine and Google call it. */
const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

/** Same shades and letter shapes on each machine, as far as its fonts allow. */
const ARGS = ['--font-render-hinting=none', '--disable-lcd-text', '--force-color-profile=srgb'];

const program: string | null =
  (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => PROGRAMS.map((name) => join(folder, name)))
    .find(isExecutable) ?? null;

const MISSING = 'Chromium is not on the PATH (Debian: apt-get install chromium)';

/** Null where there is one, else why tests are left out. A run that asks for all tests leaves none out: without Chromium it fails. */
export const noBrowser: string | null = program === null && process.env.REKEYD_TESTS !== 'all' ? MISSING : null;

/** The caller closes it. When this process is interrupted, it ends, too. @throws Error where there is none */
export async function launchBrowser(): Promise<Browser> {
  if (program === null) throw new Error(MISSING);
  // It leaves a folder behind, now and then.
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-browser-'));
  const clean = () => rmSync(dir, { recursive: true, force: true });
  const options = { executablePath: program, args: ARGS, env: { ...process.env, TMPDIR: dir } };
  const launch = (chromiumSandbox: boolean) => chromium.launch({ ...options, chromiumSandbox });
  try {
    // Chromium refuses its sandbox to root, and cannot make one where the kernel forbids user namespaces. It only opens pages of our own.
    const isRoot = process.getuid?.() === 0;
    const browser = await launch(!isRoot).catch((error: unknown) => {
      if (isRoot) throw error;
      return launch(false);
    });
    browser.on('disconnected', clean);
    return browser;
  } catch (error) {
    clean();
    throw error;
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
