/** From the audit log to a receiver: in order, at least once, whatever fails on the way. */
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { WebhookConfig } from '../../src/config/telling.ts';
import type { AuditType } from '../../src/core/audit.ts';
import type { Store } from '../../src/store/store.ts';
import { type CourierOptions, startCourier } from '../../src/webhooks/courier.ts';
import { openSender } from '../../src/webhooks/send.ts';
import type { Outcome, Pace } from '../../src/webhooks/turn.ts';
import { draft, type OpenedStore, open, openEmpty, ref } from '../store/fixtures.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Answer, type Receiver, startReceiver, status, webhookTo } from './receiver.ts';

const PACE: Pace = { lookMs: 10, waitMs: 20, retryMs: () => 20, afterDeadMs: 10, awayMs: 20 };

let server: RedisServer;
let opened: OpenedStore;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  opened = await openEmpty(server.socketPath);
  const { close } = opened;
  onTestFinished(close);
});

interface Courier {
  readonly outcomes: Outcome[];
  readonly lines: string[];
  stop(): Promise<void>;
}

function courier(
  webhook: WebhookConfig,
  { store = opened.store, ...changes }: Partial<CourierOptions> & { readonly store?: CourierOptions['outbox'] } = {},
): Courier {
  const outcomes: Outcome[] = [];
  const lines: string[] = [];
  const note = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const sender = openSender(webhook, { now: Date.now });
  const end = startCourier({
    ...{ webhook, outbox: store, sender, pace: PACE, log: { info: note, warn: note, error: note } },
    ownerOf: (client) => (client.endsWith('/alpha') ? 'team-alpha' : null),
    onOutcome: (outcome) => void outcomes.push(outcome),
    ...changes,
  });
  let stopping: Promise<void> | null = null;
  const stop = () => {
    stopping ??= end().finally(() => sender.close());
    return stopping;
  };
  onTestFinished(stop);
  return { outcomes, lines, stop };
}

/** As workers do it, so that what is written before is not new. */
async function begun(name = 'siem'): Promise<void> {
  await opened.store.takeWebhook(name, 'first', 60_000);
  await opened.store.leaveWebhook(name, 'first');
}

async function happen(...reasons: string[]): Promise<void> {
  for (const reason of reasons) await opened.store.append([draft(ref('alpha'), reason)]);
}

const reasons = (receiver: Receiver) => receiver.events().map(({ data }) => data.reason);
const cursor = async (store: Store = opened.store) => (await store.webhookStandings(['siem'])).get('siem')?.cursor;

async function hears(receiver: Receiver, ...wanted: string[]): Promise<void> {
  await until(`the receiver hears ${wanted}`, (saw) => saw(reasons(receiver)).length >= wanted.length);
  expect(reasons(receiver)).toEqual(wanted);
}

/** Fails all that came with one of these reasons, by the answers given. */
const refusing =
  (answers: Readonly<Record<string, Answer>>): Answer =>
  (response, heard) => {
    const { reason } = JSON.parse(heard.body).data;
    (answers[reason] ?? status(204))(response, heard);
  };

test('a new webhook begins at the end of the log, and is told in order of what it wants, with the owner', async () => {
  const receiver = await startReceiver();
  await happen('before');
  courier(webhookTo(receiver.url, { events: ['client.*'] }));
  await until('it has begun', async () => (await cursor()) === 1);
  const other: AuditType = 'key.stored';
  await opened.store.append([{ ...draft(ref('alpha'), 'not wanted'), type: other }, draft(ref('beta'), 'one')]);
  await happen('two', 'three');
  await opened.store.append([{ ...draft(null, 'not wanted'), type: other }]);
  await hears(receiver, 'one', 'two', 'three');
  expect(receiver.events().map(({ data }) => [data.seq, data.owner])).toEqual([
    ...[
      [3, null],
      [4, 'team-alpha'],
      [5, 'team-alpha'],
    ],
  ]);
  await until('what it does not want is passed', async () => (await cursor()) === 6);
  expect(await opened.store.neededFrom(['siem'])).toBe(7);
});

test('a receiver that is down for a while is told of everything when it is back, in order and under one id each', async () => {
  const receiver = await startReceiver();
  receiver.answer = status(503);
  const { outcomes, lines } = courier(webhookTo(receiver.url));
  await until('it has begun', async () => (await cursor()) === 0);
  await happen('one', 'two', 'three');
  await until('it was tried several times', () => receiver.heard.length >= 3);
  expect((await opened.store.webhookStandings(['siem'])).get('siem')).toMatchObject({
    ...{ cursor: 0, pending: 3, error: 'it answers 503', failingSince: expect.any(Number) },
  });
  receiver.answer = status(200);
  await until('all were delivered', async () => (await cursor()) === 3);
  const told = receiver.events().map(({ data }) => data.reason);
  expect(told.filter((reason, index) => reason !== told[index - 1])).toEqual(['one', 'two', 'three']);
  expect(new Set(receiver.heard.map(({ id }) => id)).size).toBe(3);
  expect(outcomes.filter((outcome) => outcome === 'delivered')).toHaveLength(3);
  expect(lines.join('\n')).toMatch(/could not be delivered yet.*\n[\s\S]*delivered again/);
  expect(lines.join('\n')).not.toContain('/hook');
});

test('a worker that dies between the try and the cursor has the next one send it again, under the same id', async () => {
  const receiver = await startReceiver();
  await begun();
  await happen('one', 'two');
  // From then on nothing that this worker says reaches the store, as when it was killed.
  const dead = new Promise<never>(() => {});
  const killed = {
    ...opened.store,
    id: opened.store.id,
    passWebhook: () => dead,
    leaveWebhook: () => dead,
  };
  const first = courier(webhookTo(receiver.url, { timeoutMs: 1 }), {
    store: killed,
    sender: openSender(webhookTo(receiver.url), { now: Date.now }),
  });
  await hears(receiver, 'one');
  await first.stop();
  const other = await open(server.socketPath);
  onTestFinished(other.close);
  // The lease of the dead worker has an end.
  await opened.redis.pexpire(opened.store.keys.webhook('siem').lease, 50);
  courier(webhookTo(receiver.url), { store: other.store });
  await hears(receiver, 'one', 'one', 'two');
  expect(receiver.heard[0]?.id).toBe(receiver.heard[1]?.id);
  expect(receiver.heard[0]?.id).toMatch(/^evt_[0-9a-f-]{36}_1$/);
});

test('of two workers one delivers, and the other takes over when that one stops', async () => {
  const receiver = await startReceiver();
  await begun();
  const other = await open(server.socketPath);
  onTestFinished(other.close);
  const both = [courier(webhookTo(receiver.url)), courier(webhookTo(receiver.url), { store: other.store })];
  await happen(...Array.from({ length: 10 }, (_, index) => `${index}`));
  await hears(receiver, ...Array.from({ length: 10 }, (_, index) => `${index}`));
  await until('it knows of the last one', () => both.flatMap(({ outcomes }) => outcomes).length === 10);
  const busy = both.find(({ outcomes }) => outcomes.length > 0);
  expect(both.map(({ outcomes }) => outcomes.length).toSorted((a, b) => a - b)).toEqual([0, 10]);
  await busy?.stop();
  await happen('after');
  await until('the other one has delivered it', () => reasons(receiver).at(-1) === 'after');
  expect(receiver.heard).toHaveLength(11);
});

test.each([
  ['failed', 500],
  ['stopped', 410],
])(
  'a worker whose try %s when another worker has delivered the event meanwhile says nothing of it',
  async (_, code) => {
    const receiver = await startReceiver();
    await begun();
    const { store } = opened;
    const elsewhere = () => store.passWebhook('siem', 0, 1);
    const overtaken: CourierOptions['outbox'] = {
      ...store,
      id: store.id,
      noteFailure: (...given) => elsewhere().then(() => store.noteFailure(...given)),
      stopWebhook: (...given) => elsewhere().then(() => store.stopWebhook(...given)),
    };
    receiver.answer = refusing({ one: status(code) });
    const { outcomes, lines } = courier(webhookTo(receiver.url), { store: overtaken });
    await happen('one', 'two');
    await until('the next one is delivered', () => outcomes.includes('delivered'));
    expect([outcomes, lines]).toEqual([['delivered'], []]);
  },
);

test('a receiver that hangs holds up no other, and a worker that ends does not wait for it', async () => {
  const [slow, quick] = [await startReceiver(), await startReceiver()];
  slow.answer = () => {};
  await begun('slow');
  await begun('quick');
  const hanging = courier(webhookTo(slow.url, { name: 'slow' }));
  courier(webhookTo(quick.url, { name: 'quick' }));
  await happen('one', 'two');
  await hears(quick, 'one', 'two');
  await until('the slow one is told', () => slow.heard.length === 1);
  await hanging.stop();
  // What became of the try is not known: it is no failure, and the next worker sends it again at once.
  expect((await opened.store.webhookStandings(['slow'])).get('slow')).toMatchObject({ cursor: 0, tries: 0 });
  slow.answer = status(200);
  courier(webhookTo(slow.url, { name: 'slow' }));
  await hears(slow, 'one', 'one', 'two');
});

test('a store that is away keeps no worker from ending, and is told once, until it is back', async () => {
  const receiver = await startReceiver();
  await begun();
  let isAway = true;
  const { store } = opened;
  const failing: CourierOptions['outbox'] = {
    ...store,
    id: store.id,
    takeWebhook: (...given) => (isAway ? Promise.reject(new Error('away')) : store.takeWebhook(...given)),
  };
  const { lines, stop } = courier(webhookTo(receiver.url), { store: failing, pace: { ...PACE, awayMs: 5 } });
  await happen('one');
  await until('it was told', () => lines.length > 0);
  isAway = false;
  await hears(receiver, 'one');
  expect(lines).toEqual([expect.stringContaining('the webhook waits for it {"webhook":"siem","error":"away"}')]);
  await stop();
  const never = new Promise<never>(() => {});
  const waiting = { ...store, id: store.id, takeWebhook: () => never, leaveWebhook: () => never };
  await courier(webhookTo(receiver.url), { store: waiting }).stop();
});

describe('dead letters', () => {
  test('are what was tried in vain for too long; what follows is delivered, and a person has them tried again', async () => {
    const receiver = await startReceiver();
    await begun();
    receiver.answer = refusing({ bad: status(400), worse: status(500) });
    const { outcomes } = courier(webhookTo(receiver.url, { giveUpMs: 1 }));
    await happen('one', 'bad', 'two', 'worse', 'three');
    await until('all are passed', async () => (await cursor()) === 5);
    const { store } = opened;
    expect(await store.deadLetters('siem')).toMatchObject([
      { entry: { seq: 2, reason: 'bad' }, why: 'it answers 400' },
      { entry: { seq: 4, reason: 'worse' }, why: 'it answers 500' },
    ]);
    expect(reasons(receiver)).toContain('three');
    expect(outcomes.filter((outcome) => outcome === 'dead')).toHaveLength(2);
    receiver.answer = refusing({ bad: status(400) });
    expect(await store.retryLetters('siem', 'all', [])).toBe(2);
    const tried = async () => (await store.webhookStandings(['siem'])).get('siem')?.again === 0;
    await until('both were tried again', tried);
    expect(reasons(receiver).slice(-2)).toEqual(['bad', 'worse']);
    expect(await store.deadLetters('siem')).toMatchObject([{ entry: { reason: 'bad' } }]);
    const sent = receiver.heard.filter(({ body }) => JSON.parse(body).data.reason === 'worse');
    expect(new Set(sent.map(({ id }) => id)).size).toBe(1);
  });

  test('are all that is too old when nothing is taken for long, or the webhook has stopped: retention waits for neither', async () => {
    const receiver = await startReceiver();
    await begun();
    receiver.answer = status(500);
    const down = courier(webhookTo(receiver.url, { giveUpMs: 1, events: ['client.*'] }));
    const wanted = Array.from({ length: 50 }, (_, index) => draft(ref('alpha'), `${index}`));
    const other: AuditType = 'key.stored';
    await opened.store.append(wanted.flatMap((entry) => [entry, { ...entry, type: other }]));
    await until('all were given up', async () => (await cursor()) === 100);
    expect(receiver.heard.length).toBeLessThan(50);
    expect((await opened.store.deadLetters('siem')).map(({ entry }) => entry.reason)).toEqual(
      wanted.map(({ reason }) => reason),
    );
    expect(down.outcomes).toHaveLength(50);
    receiver.answer = status(410);
    await happen('gone');
    await until('it has stopped', () => down.outcomes.includes('stopped'));
    await until('what waits is given up', async () => (await cursor()) === (await opened.store.auditSize()));
    expect((await opened.store.deadLetters('siem')).at(-1)).toMatchObject({
      entry: { reason: 'gone' },
      why: 'it answers 410',
    });
    expect((await opened.store.webhookStandings(['siem'])).get('siem')?.stopped).toMatchObject({
      why: 'it answers 410',
    });
    expect(await opened.store.neededFrom(['siem'])).toBe((await opened.store.auditSize()) + 1);
  });

  test('are none as long as there is time', async () => {
    const receiver = await startReceiver();
    await begun();
    receiver.answer = refusing({ bad: status(400) });
    courier(webhookTo(receiver.url, { giveUpMs: 3_600_000 }));
    await happen('bad', 'two');
    await until('it was tried often', () => receiver.heard.length > 4);
    expect(new Set(reasons(receiver))).toEqual(new Set(['bad']));
    expect(await opened.store.deadLetters('siem')).toEqual([]);
    // A person need not wait for it.
    receiver.answer = refusing({});
    await until('the rest follows', () => reasons(receiver).at(-1) === 'two');
  });
});

test('a receiver that is gone (410) is left alone, with an audit entry, until its settings change or a person wants it', async () => {
  const receiver = await startReceiver();
  await begun();
  receiver.answer = status(410);
  const first = courier(webhookTo(receiver.url));
  await happen('one');
  await until('it has stopped', () => first.outcomes.includes('stopped'));
  expect(await opened.store.auditTail(1)).toMatchObject([
    { type: 'webhook.stopped', reason: 'it answers 410', data: { webhook: 'siem' } },
  ]);
  await first.stop();
  const { length } = receiver.heard;
  const second = courier(webhookTo(receiver.url));
  await until(
    'another worker has looked',
    async () => (await opened.redis.exists(opened.store.keys.webhook('siem').lease)) === 1,
  );
  expect(receiver.heard).toHaveLength(length);
  receiver.answer = status(200);
  await opened.store.retryLetters('siem', 'all', [{ ...draft(null, 'mended'), type: 'webhook.retried' }]);
  await until('it goes on', () => reasons(receiver).at(-1) === 'mended');
  expect(reasons(receiver).slice(length)).toEqual(['one', 'it answers 410', 'mended']);
  receiver.answer = status(410);
  await happen('two');
  await until('it has stopped again', () => second.outcomes.includes('stopped'));
  await second.stop();
  receiver.answer = status(200);
  courier(webhookTo(receiver.url, { timeoutMs: 30_000 }));
  await until('other settings go on', () => reasons(receiver).at(-1) === 'it answers 410');
});
