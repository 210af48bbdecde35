/**
 * The ten steps, and after them "Bring clients in", typed as they are written, with applications that sign in all the time. In the place of what a person has are:
 * programs of the project's folder (see terminal.ts), the port of the local Wacht, and waits that a test can sit out. The documents say when an application is
 * pointed at its folder.
 */

import { createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import type { Status } from '../../src/status/views.ts';
import { until } from '../support/patient.ts';
import { type Application, startApplication } from './application.ts';
import { type Step, stepsOf } from './steps.ts';
import { type LeftRunning, openTerminal, type Terminal, type Typed } from './terminal.ts';

/** The clients of the local Wacht, as the documents say of them. */
const IMPORTED = '185019846023/mcp-auth/4711';
const IMPORTED_WITH_A_FOLDER = '185019846023/mcp-auth/4712';
const TAKEN_OVER = '185019846023/mcp-auth/4713';
const OFFERED = '185019846023/mcp-rfc/4714';
const FOUND = '185019846023/mcp-rfc/4715';

const ROTATE = `rekeyd rotate ${IMPORTED} --reason "laptop lost" --wait`;

interface Walk {
  readonly terminal: Terminal;
  /** By client id; of all whose key somebody has from the start. */
  readonly applications: Map<string, Application>;
  readonly typed: Typed[];
  readonly running: { wacht?: LeftRunning; service?: LeftRunning };
}

async function startWacht({ terminal, applications, running }: Walk, line: string): Promise<void> {
  const wacht = await terminal.leave(line, 'Stop it with');
  running.wacht = wacht;
  const apiKey = printedBy(wacht, /API key +(\S+)/)[1] ?? '';
  const url = urlOf(wacht);
  const hosts = new Map(
    [...wacht.printed().matchAll(/app +(\S+) +https:\/\/(\S+)/g)].map(([, app, host]) => [app, host]),
  );
  const printed = wacht.printed().matchAll(/client +(\d+)\/(\S+)\/(\d+) +(\S+) +(\S+\.pem)?/g);
  for (const [, deployment, app, id = '', clientId = '', path] of printed) {
    const pem = path === undefined ? null : await readFile(join(terminal.dir, path), 'utf8');
    const kid = await kidOf(`${url}/deployments/${deployment}/oauth/apps/${app}/clients`, id, apiKey);
    const key = pem === null ? null : { privateKey: createPrivateKey(pem), kid };
    applications.set(id, startApplication({ url, host: hosts.get(app) ?? '', clientId, key }));
  }
}

interface Listed {
  readonly id: string;
  readonly jwks: { readonly keys: readonly { readonly kid: string | null }[] };
}

/** An application knows the name under which its key was registered. */
async function kidOf(list: string, id: string, apiKey: string): Promise<string | null> {
  const response = await fetch(list, { headers: { authorization: `Bearer ${apiKey}` } });
  const { clients } = (await response.json()) as { clients: readonly Listed[] }; // the local Wacht's answer
  return clients.find((client) => client.id === id)?.jwks.keys[0]?.kid ?? null;
}

const urlOf = (wacht: LeftRunning) => printedBy(wacht, /listens on (\S+)/)[1] ?? '';

function printedBy(wacht: LeftRunning, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(wacht.printed());
  if (found === null) throw new Error(`the local Wacht does not print ${pattern}`);
  return found;
}

/** The config, with the port of this local Wacht and with short waits. */
function configOf(text: string, url: string): string {
  return `${text
    .replaceAll('http://127.0.0.1:8787', url)
    .replaceAll(/^( +)schedule: .*$/gm, '$&\n$1propagation: 200ms\n$1overlap: 1s')}
reconcile_every: 1s
http: { listen: "127.0.0.1:0" }
`;
}

/** Of a printed line. With an overlap of 1 s the old key may be gone by then, on a machine that is slow. */
function patternOf(line: string): string {
  const pattern = line.replaceAll(/[^\w\s…]/g, '\\$&').replaceAll('…', '.*');
  return pattern.replace('.*ES256  deactivated', '.*(?:ES256  deactivated|-      destroyed)');
}

async function take(step: Step, walk: Walk): Promise<void> {
  const { terminal, applications, typed, running } = walk;
  if (step.do === 'write') {
    if (running.wacht === undefined) throw new Error('the local Wacht should run by now');
    return writeFile(join(terminal.dir, step.file), configOf(step.text, urlOf(running.wacht)));
  }
  if (step.do === 'point') {
    const application = applications.get(basename(step.folder));
    await application?.pointAt(join(terminal.dir, step.folder));
    return application?.more(3);
  }
  if (step.do === 'see') {
    const { line, stdout = '', stderr } = typed.at(-1) ?? {};
    const pattern = step.lines.map(patternOf).join('$[^]*^');
    return expect(stdout, `${line}\n${stderr}`).toMatch(new RegExp(`^${pattern}$`, 'm'));
  }
  const [, name, value] = /^([A-Z_]+)=(\S+)$/.exec(step.line) ?? [];
  if (name !== undefined && value !== undefined) {
    terminal.env[name] = value;
    return;
  }
  if (step.line.startsWith('npm run emulator')) return startWacht(walk, step.line);
  if (step.line.startsWith('rekeyd start')) {
    running.service = await terminal.leave(step.line, '"msg":"started"');
    return;
  }
  typed.push(await typeIt(terminal, step.line));
}

async function typeIt(terminal: Terminal, line: string): Promise<Typed> {
  const typed = await terminal.type(line);
  expect(typed.code, `${line}\n${typed.stdout}${typed.stderr}`).toBe(0);
  return typed;
}

async function statusOf(terminal: Terminal): Promise<Status> {
  return JSON.parse((await typeIt(terminal, 'rekeyd status --json')).stdout);
}

/** Waits until no old key of the client is on its way out. */
async function untilRotated(terminal: Terminal, ref: string): Promise<void> {
  await until(`the old key of ${ref} is gone`, async () => {
    const client = (await statusOf(terminal)).clients.find(({ client }) => client === ref);
    return client?.rotation === null && client.retiring.length === 0;
  });
}

/** The keys that the client signed with, in order. */
async function activeKeysOf(terminal: Terminal, ref: string): Promise<readonly string[]> {
  const { stdout } = await typeIt(terminal, 'rekeyd audit tail -n 10000 --json');
  const entries: readonly { type: string; client: string; data: { kid: string } }[] = JSON.parse(stdout);
  return entries.filter(({ type, client }) => type === 'key.activated' && client === ref).map(({ data }) => data.kid);
}

/** What is typed, written and done, without what is printed. */
const typedIn = (steps: readonly Step[]) => steps.filter((step) => step.do !== 'see');

test('the quick start has the ten steps of the README', () => {
  const steps = stepsOf('README.md', 'Use it');
  expect(steps.length).toBeGreaterThan(15);
  expect(typedIn(stepsOf('docs/quick-start.md', 'The ten steps'))).toEqual(steps);
});

test('the ten steps and all ways to bring clients in work as they are written, and no application that reads a key folder is refused', {
  timeout: 120_000,
}, async () => {
  const terminal = await openTerminal();
  const walk: Walk = { terminal, applications: new Map(), typed: [], running: {} };
  const steps = [
    ...stepsOf('docs/quick-start.md', 'The ten steps'),
    ...stepsOf('docs/enrolment.md', 'Bring clients in'),
  ];
  for (const step of steps) await take(step, walk);
  const { applications, typed, running } = walk;
  const printedFor = (start: string) => typed.find(({ line }) => line.startsWith(start))?.stdout;
  expect(printedFor('rekeyd status')).toMatch(/^5 clients: 5 found$/m);
  expect(printedFor(`rekeyd plan ${IMPORTED}`)).toContain('"public_key_pem": "<new key>"');

  // It was rotated once.
  for (const _ of ['a second time', 'a third time']) {
    await untilRotated(terminal, IMPORTED);
    await typeIt(terminal, ROTATE);
  }
  await untilRotated(terminal, IMPORTED);
  expect(new Set(await activeKeysOf(terminal, IMPORTED)).size).toBe(3);
  await typeIt(terminal, `rekeyd rotate ${OFFERED} ${TAKEN_OVER} --wait finished`);
  const shown = (await statusOf(terminal)).clients.map(({ client, enrolment }) => [client, enrolment]);
  expect(Object.fromEntries(shown)).toEqual({
    [IMPORTED]: 'enrolled',
    [IMPORTED_WITH_A_FOLDER]: 'held',
    [TAKEN_OVER]: 'enrolled',
    [OFFERED]: 'enrolled',
    [FOUND]: 'found',
  });
  for (const application of applications.values()) {
    await application.more(3);
    expect(application.refused).toEqual([]);
  }

  // Its application keeps a copy of the imported key. It was not refused until somebody says that it does not.
  const copying = applications.get(basename(IMPORTED_WITH_A_FOLDER));
  await typeIt(terminal, `rekeyd enroll ${IMPORTED_WITH_A_FOLDER}`);
  await typeIt(terminal, `rekeyd rotate ${IMPORTED_WITH_A_FOLDER} --wait`);
  await until('the copy is refused', () => (copying?.refused.length ?? 0) > 0);

  expect(await running.service?.end()).toBe(0);
  for (const application of applications.values()) await application.stop();
  expect(await running.wacht?.end()).toBe(0);
});
