/** `alerts.heartbeat`: a monitor elsewhere is told that all is well, or what is not. */
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { Secret } from '../../src/config/secret.ts';
import { startHeartbeat } from '../../src/runtime/heartbeat.ts';
import { createLog } from '../../src/runtime/log.ts';
import { aged } from '../support/aged.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { listening } from '../support/listening.ts';
import { until } from '../support/until.ts';

interface Heard {
  readonly url: string | undefined;
  readonly body: string;
}

/** Answers with `status`, and remembers what it was told. */
async function startMonitor() {
  const heard: Heard[] = [];
  const answer = { status: 200 };
  const server = createServer(async (request, response) => {
    heard.push({ url: `${request.method} ${request.url}`, body: await text(request) });
    response.writeHead(answer.status, { location: '/elsewhere' }).end('OK');
  });
  const port = await listening(server);
  return { heard, answer, url: `http://127.0.0.1:${port}/ping/4711?x=1` };
}

test('a monitor is told that all is well, then what is not, and a refusal is told once without the URL', async () => {
  const monitor = await startMonitor();
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const file = { ...fleet.file, alerts: { heartbeat: { url: 'env:BEAT', every: '50ms' } } };
  await fleet.start({}, await fleet.configOf(file, { BEAT: monitor.url }));
  const latest = (what: string, wanted: Heard) =>
    until(what, (saw) => {
      const last = saw(monitor.heard.at(-1));
      return last !== undefined && last.url === wanted.url && last.body === wanted.body;
    });
  await latest('all is well', { url: 'POST /ping/4711?x=1', body: 'all is well' });
  await aged(fleet, client, 100);
  // Time passes without an audit entry. What was made older here is read with the next one.
  await fleet.resources.store.append([
    { type: 'client.held', client: client.ref, rotation: null, actor: 'test', reason: 'aged', data: {} },
  ]);
  await latest('what is not', {
    url: 'POST /ping/4711/fail?x=1',
    body: 'Clients with keys that are older than must_by: 1',
  });
  monitor.answer.status = 302;
  const told = () => fleet.lines.filter((line) => line.includes('the monitor cannot be told'));
  await until('the refusal is told', () => told().length > 0);
  const before = monitor.heard.length;
  await until('more beats have come', () => monitor.heard.length > before + 3);
  expect(told()).toHaveLength(1);
  expect(monitor.heard.map(({ url }) => url)).not.toContain('GET /elsewhere');
  monitor.answer.status = 200;
  await until('it is told again', () => fleet.lines.some((line) => line.includes('the monitor is told again')));
  expect(fleet.lines.join('')).not.toContain('4711?x=1');
  await fleet.reached(client, await fleet.rotate(client));
  await latest('all is well again', { url: 'POST /ping/4711?x=1', body: 'all is well' });
});

test('the monitor of a new config is told soon, however long the one before was to wait', async () => {
  const [before, after] = [await startMonitor(), await startMonitor()];
  const beat = ({ url }: { readonly url: string }) => ({
    ...{ url: new Secret(url), everyMs: 86_400_000, route: { proxy: null, authorities: [] } },
  });
  let config = beat(before);
  onTestFinished(
    startHeartbeat({ config: () => config, troubles: async () => [], log: createLog({ level: 'silent' }) }),
  );
  await until('the first is told', () => before.heard.length > 0);
  config = beat(after);
  await until('the second is told', () => after.heard.length > 0);
  expect([before.heard, after.heard]).toMatchObject([[{ body: 'all is well' }], [{ body: 'all is well' }]]);
});

test.each([
  ['http://monitor.example.com/ping', /alerts\.heartbeat\.url.*http:\/\/ URL of another machine/],
  ['nonsense', /alerts\.heartbeat\.url.*does not lead to a URL/],
])('a monitor at %s is refused, without the URL', async (url, message) => {
  const file = { alerts: { heartbeat: { url: 'env:BEAT' } } };
  const read = parseConfig(JSON.stringify(file), { file: '/nowhere/rekeyd.yaml', env: { BEAT: url } });
  const error = await read.catch((problem: unknown) => problem);
  expect(String(error instanceof Error ? error.message : error)).toMatch(message);
  expect(String(error instanceof Error ? error.message : error)).not.toContain('example.com/ping');
});
