/**
 * `npm run demo`: an embedded store, a local Wacht that picks keys in both ways, and the real service. Ten clients go on signing in while
 * their keys are rotated. With `--serve` everything goes on after that, with the page to look at it, until Ctrl-C.
 */
import { rm, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { openQueues } from '../../jobs/queues.ts';
import { loadConfig } from '../../src/config/load.ts';
import { parseReference } from '../../src/core/client.ts';
import type { RotationSummary } from '../../src/core/history.ts';
import { activeKey } from '../../src/core/keys.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { probeApp } from '../../src/rotation/probe.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { startService } from '../../src/runtime/service.ts';
import { monotonic, sleep, systemClock } from '../../src/time.ts';
import type { LogEntry } from '../emulator/log.ts';
import { startEmulator } from '../emulator/server.ts';
import { configText, type DemoConfig, writeConfig } from './config.ts';
import { API_KEY, APPS, arrangeMishaps, CLIENTS, DEPLOYMENT, type RegisteredClient, register } from './fleet.ts';
import { type LoginStream, startLogins } from './logins.ts';
import { type ClientReport, type DemoReport, printReport } from './report.ts';
import { onInterrupt, SERVED, serve } from './serve.ts';

const PATIENCE_MS = 120_000;

/** The demo makes some thousand; one that serves goes on for hours. */
const MOST_CALLS = 100_000;

const asJson = process.argv.includes('--json');
const isServing = process.argv.includes('--serve');
const say = (line: string) => void (asJson ? process.stderr : process.stdout).write(`${line}\n`);

// From the start: a Ctrl-C that comes early must not leave the embedded store running.
const interrupted = isServing ? onInterrupt() : null;

const dir = resolve('data/demo');
await clearEarlierDemo(dir);

const emulator = await startEmulator({ logLimit: MOST_CALLS });
emulator.setApiKey(DEPLOYMENT, API_KEY);
for (const [slug, app] of Object.entries(APPS)) emulator.addApp({ deployment: DEPLOYMENT, slug, ...app });
const clients = CLIENTS.map((client) => register(emulator, client));
const demo: DemoConfig = { origin: emulator.url, clients, ...(isServing && { more: SERVED }) };
const config = await loadConfig(await writeConfig(dir, demo), {});
say(`A local Wacht listens on ${emulator.url}: app first-pem takes the first PEM key, app by-kid picks by kid.`);

const log = createLog({ level: 'silent' });
const resources = await openResources(config, { log, clock: systemClock });
const cause = { actor: 'demo', reason: 'the key this client has used so far', request: null };
for (const { ref, privateKeyPem, before } of clients) {
  const handed = { ref: parseReference(ref), text: privateKeyPem, alg: before, enroll: true, cause };
  await importKey(resources, keksOf(config), handed);
}
const probed = [];
for (const slug of Object.keys(APPS)) {
  const signal = new AbortController().signal;
  const { findings } = await probeApp(resources, DEPLOYMENT, slug, { actor: 'demo', reason: 'demo', signal });
  probed.push(`${slug} ${findings.picks.result.replace('_', ' ')}`);
}
await resources.close();
say(
  `${clients.length} clients handed over their present keys (rekeyd keys import --enroll) and now sign from ${relative('', join(dir, 'keys'))}.`,
);

say(`A probe of each app (rekeyd probe) found which of two keys signs in: ${probed.join(', ')}.`);

const source = isServing ? { source: { text: configText(demo), env: {} } } : {};
const service = await startService(config, { log, schedule: true, worker: true, http: isServing, ...source });
const streams = new Map<string, LoginStream>();
for (const client of clients) {
  const folder = join(dir, 'keys', client.ref);
  streams.set(client.ref, await startLogins({ folder, origin: emulator.url, fqdn: APPS[client.app].fqdn }));
}
arrangeMishaps(emulator, clients);

say('Rotating them all (rekeyd rotate --all) while they keep signing in ...');
const startedAt = monotonic();
const queues = openQueues(service.resources, [DEPLOYMENT], (error) => say(String(error)));
const reason = 'demo: show a rotation';
await queues.request({ v: 1, select: { all: true }, reason, actor: 'demo', compromised: false });
const ended = await rotationsEnded();
const seconds = (monotonic() - startedAt) / 1000;
await sleep(300); // a few logins more, with the old keys gone
if (!isServing) await stop();
const report = makeReport(ended, seconds);

if (asJson) process.stdout.write(`${JSON.stringify(report)}\n`);
else printReport(report, clients, relative('', dir));
// The one refusal that the demo arranges is an outcome; a refused login, or any other failure, is a defect.
process.exitCode = isAsArranged(report) ? 0 : 1;

if (interrupted !== null) {
  for (const stream of streams.values()) stream.slowDown();
  await serve({ demo, emulator, service, clients, interrupted, say });
  await stop();
}

async function stop(): Promise<void> {
  for (const stream of streams.values()) await stream.stop();
  await queues.close();
  await service.stop();
  await emulator.close();
}

interface Ended {
  readonly record: ClientRecord;
  readonly rotation: RotationSummary;
}

async function rotationsEnded(): Promise<ReadonlyMap<string, Ended>> {
  const { store } = service.resources;
  const deadline = monotonic() + PATIENCE_MS;
  const ended = new Map<string, Ended>();
  for (;;) {
    for (const ref of clients.map((client) => parseReference(client.ref))) {
      const [[rotation], loaded] = await Promise.all([store.history(ref), store.load(ref)]);
      if (rotation !== undefined && loaded !== null) ended.set(ref, { record: loaded.record, rotation });
    }
    if (ended.size === clients.length) return ended;
    if (monotonic() > deadline) throw new Error('the rotations did not end in time');
    await sleep(100);
  }
}

function makeReport(ended: ReadonlyMap<string, Ended>, seconds: number): DemoReport {
  const rows = clients.map((client) => reportOf(client, ended.get(client.ref)));
  const sum = (pick: (row: ClientReport) => number) => rows.reduce((total, row) => total + pick(row), 0);
  return {
    clients: rows,
    totals: {
      rotations: rows.filter(({ outcome }) => outcome === 'finished').length,
      seconds: Number(seconds.toFixed(2)),
      logins: {
        ok: sum(({ logins }) => logins.ok),
        fallback: sum(({ logins }) => logins.fallback),
        refused: sum(({ logins }) => logins.refused),
      },
    },
  };
}

function reportOf(client: RegisteredClient, ended: Ended | undefined): ClientReport {
  if (ended === undefined) throw new Error(`${client.ref} was not rotated`);
  const { record, rotation } = ended;
  return {
    client: client.ref,
    server: APPS[client.app].selection,
    strategy: rotation.strategy,
    format: record.server.format ?? client.registered,
    alg_before: client.before,
    alg_after: rotation.state === 'finished' ? (activeKey(record)?.alg ?? client.before) : client.before,
    outcome: rotation.state,
    patches: emulator.log.filter((call) => call.client === client.id && carriesKeys(call)).length,
    logins: streams.get(client.ref)?.counts ?? { ok: 0, fallback: 0, refused: 0 },
  };
}

function carriesKeys({ method, body }: LogEntry): boolean {
  return method === 'PATCH' && Object.keys(Object(body)).length > 0;
}

function isAsArranged(report: DemoReport): boolean {
  return clients.every(({ ref, mishap }) => {
    const row = report.clients.find(({ client }) => client === ref);
    return row?.logins.refused === 0 && row.outcome === (mishap === 'refused' ? 'failed' : 'finished');
  });
}

/** Only a folder that an earlier demo made is thrown away. */
async function clearEarlierDemo(path: string): Promise<void> {
  const made = await stat(join(path, 'rekeyd.yaml')).catch(() => null);
  if (made !== null) await rm(path, { recursive: true });
}
