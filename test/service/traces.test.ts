/** `telemetry.traces`: what a collector is sent of a rotation, and what it never is. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { apiKeyOf, DEPLOYMENT, type Fleet, KEK, PEM_APP, startFleet } from '../support/fleet.ts';
import { listening } from '../support/listening.ts';
import { keysIn, needlesOf, searchFor } from '../support/secrets.ts';
import { until } from '../support/until.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** Takes OTLP/JSON over HTTP. */
async function startCollector() {
  const bodies: Record<string, unknown>[] = [];
  const requests: { url: string | undefined; headers: IncomingHttpHeaders }[] = [];
  const answer = { status: 200 };
  const server = createServer(async (request, response) => {
    requests.push({ url: request.url, headers: request.headers });
    bodies.push(Object(await json(request)));
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end('{}');
  });
  const port = await listening(server);
  const spans = (): Span[] =>
    bodies.flatMap((body) =>
      Object(body).resourceSpans.flatMap(({ scopeSpans }: { scopeSpans: { spans: Span[] }[] }) =>
        scopeSpans.flatMap((scope) => scope.spans),
      ),
    );
  const endpoint = `http://127.0.0.1:${port}/v1/traces`;
  return { bodies, requests, answer, spans, endpoint };
}

const PASSWORD = 'a-password-of-the-collector';

function traced(fleet: Fleet, endpoint: string) {
  const traces = { endpoint, headers: { authorization: 'env:COLLECTOR' }, sample: '100%' };
  return fleet.configOf({ ...fleet.file, telemetry: { traces } }, { COLLECTOR: `Bearer ${PASSWORD}` });
}

const fact = ({ attributes }: Span, name: string) =>
  Object.values(attributes.find(({ key }) => key === name)?.value ?? {})[0];

test('a rotation is one trace: its job, its steps within that, and the calls within the steps; and nothing secret', async () => {
  const collector = await startCollector();
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start({}, await traced(fleet, collector.endpoint));
  const { inboxes } = service.queues;
  const reason = 'a reason that only the audit log tells';
  await inboxes[0]?.add('request', { v: 1, select: { clients: [client.ref] }, reason, actor: 'test' });
  const { id, kid } = await until('it is finished', async (saw) => {
    const [only] = saw(await fleet.resources.store.history(client.ref));
    return only?.state === 'finished' && only;
  });
  await service.stop(); // sends what is left

  const spans = collector.spans();
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const up = (span: Span | undefined): Span[] =>
    span === undefined ? [] : [span, ...up(byId.get(span.parentSpanId ?? ''))];
  const steps = spans.filter((span) => fact(span, 'rekeyd.rotation') === id);
  expect(steps.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['step generate', 'step deliver', 'step patch', 'step prove_new', 'step prove_old']),
  );
  const patch = spans.find((span) => span.name === 'PATCH' && up(span)[1]?.name === 'step patch');
  const path = up(patch).map(({ name }) => name);
  expect(path).toEqual([
    'PATCH',
    'step patch',
    `process rotate-${DEPLOYMENT}`,
    `add rotate-${DEPLOYMENT}.rotate`,
    'process requests',
    'add requests.request',
  ]);
  expect(new Set(up(patch).map(({ traceId }) => traceId)).size).toBe(1);
  expect(up(patch).map(({ kind }) => kind)).toEqual([3, 1, 5, 4, 5, 4]);
  for (const { startTimeUnixNano: from, endTimeUnixNano: to } of spans) expect(BigInt(to) >= BigInt(from)).toBe(true);
  expect(patch && fact(patch, 'http.response.status_code')).toBe('200');
  expect(steps.some((span) => fact(span, 'rekeyd.kid') === kid)).toBe(true);

  expect(collector.requests[0]).toMatchObject({ url: '/v1/traces', headers: { authorization: `Bearer ${PASSWORD}` } });
  const sent = Buffer.from(JSON.stringify(collector.bodies));
  const keys = [...(await keysIn(client.folder))].flatMap(([name, key]) => needlesOf(name, key));
  expect(keys.length).toBeGreaterThan(0);
  const search = searchFor([...keys, ...needlesOf('first', client.key.privateKey)]);
  expect([...search(sent)]).toEqual([]);
  for (const secret of [PASSWORD, KEK, apiKeyOf(DEPLOYMENT), reason, 'client_assertion', 'eyJ', 'redis://', '"host"']) {
    expect(sent.includes(secret), secret).toBe(false);
  }
  // BullMQ's options hold the connection to Redis.
  expect(sent.includes('bullmq.queue.name')).toBe(true);
  expect(sent.includes('options')).toBe(false);
  for (const span of spans) expect(Object.keys(span)).not.toEqual(expect.arrayContaining(['events']));
});

test('a collector that is away, or refuses, is told once, and harms nothing', async () => {
  const collector = await startCollector();
  collector.answer.status = 503;
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const told = () => fleet.lines.filter((line) => line.includes('takes no traces'));
  for (const endpoint of [collector.endpoint, 'http://127.0.0.1:9/v1/traces']) {
    const before = told().length;
    const service = await fleet.start({}, await traced(fleet, endpoint));
    await fleet.reached(client, await fleet.rotate(client));
    await service.stop(); // sends what is left
    expect(told()).toHaveLength(before + 1);
  }
  expect(fleet.lines.join('')).not.toContain(PASSWORD);
});

/** Writes down which packages a process resolves. */
const WATCH = `import { registerHooks } from 'node:module';
registerHooks({ resolve(name, context, next) {
  if (/sdk-trace|bullmq-otel/.test(name)) process._rawDebug('loaded ' + name);
  return next(name, context);
} });`;

/** What `rekeyd start` says on stderr until it has started and was stopped. */
async function startOf(fleet: Fleet, file: object): Promise<string> {
  const config = join(fleet.dir, 'start.yaml');
  await writeFile(config, JSON.stringify(file));
  const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
  const args = [
    '--import',
    `data:text/javascript,${encodeURIComponent(WATCH)}`,
    cli,
    'start',
    '--config',
    config,
    '--no-http',
  ];
  const env = { PATH: process.env.PATH, ...COMPILED, ...fleet.env, COLLECTOR: `Bearer ${PASSWORD}` };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.includes('"started"')) child.kill('SIGTERM');
  });
  await once(child, 'close');
  return said;
}

test('without the setting none of the packages is loaded, and with it they are', async () => {
  const collector = await startCollector();
  const fleet = await startFleet({ apps: [PEM_APP] });
  const traces = { endpoint: collector.endpoint };
  const [plain, configured] = [
    await startOf(fleet, fleet.file),
    await startOf(fleet, { ...fleet.file, telemetry: { traces } }),
  ];
  expect(plain).not.toContain('loaded ');
  for (const name of ['@opentelemetry/sdk-trace', 'bullmq-otel']) {
    expect(configured).toContain(`loaded ${name}`);
  }
});
