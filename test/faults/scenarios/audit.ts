/**
 * What becomes of the audit log: it is sealed, and told to a receiver of webhooks, which hangs up, refuses or answers late. Meanwhile workers die, the
 * signing key is rotated, Redis goes away and loses what was not on disk.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../src/errors.ts';
import { until } from '../../support/patient.ts';
import { PATIENCE_MS, quiet } from '../actors/asking.ts';
import { type Receiver, startReceiver, whimOf } from '../actors/receiver.ts';
import { APPS } from '../stage/apps.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { breakRedis, breakThings } from '../trouble/chaos.ts';
import { lateWrites } from './random.ts';

const ROUNDS = 2;

/** A worker that dies leaves its lease behind, and a delivery that failed waits: both take some seconds. */
const SETTLED_MS = 120_000;

interface Audited extends Stage {
  readonly receiver: Receiver;
  readonly exported: string;
}

const apps = APPS.filter(({ slug }) => ['overlap', 'cutover'].includes(slug));

export const audit = kindOf<Audited>({
  name: 'audit',
  async open(place, dice) {
    const receiver = await startReceiver();
    place.later('receiver', () => receiver.close());
    const exported = join(place.dir, 'exported');
    const config = {
      webhooks: [
        {
          ...{ name: 'siem', url: receiver.url, secret: 'env:HOOK_SECRET', timeout: '1s' },
          allow_private: ['127.0.0.1'],
        },
      ],
    };
    const stage = await openStage(place, { everysec: lateWrites(dice), fleet: { apps, config } });
    receiver.note = (event) => stage.history.note(event);
    return { ...stage, receiver, exported };
  },
  crew: () => ({ size: 3 }),
  async play(scene) {
    const { chance, receiver, pool, raw, clients, ask } = scene;
    for (let round = 1; round <= ROUNDS; round += 1) {
      void ask();
      // A delivery that fails is repeated after some seconds: there is time for one or two in each round.
      receiver.whims.push(whimOf(chance));
      await breakRedis(scene);
      pool.kill();
      receiver.whims.push(whimOf(chance));
      await Promise.all([rotateKey(scene), breakThings(scene, 2)]);
      await delay(chance.between(200, 1_000));
    }
    scene.emulator.faults.clear();
    pool.calm();
    await quiet(raw, clients, new Set(), PATIENCE_MS);
    await settled(scene);
  },
});

/** Again, where Redis is away just then. */
async function rotateKey({ command, accuse }: Scene<Audited>): Promise<void> {
  let why = '';
  const rotate = () =>
    command('audit', 'rotate-key', '--reason', 'a drill').then(
      () => true,
      (error: unknown) => {
        why = messageOf(error);
        return false;
      },
    );
  await until('the signing key is rotated', rotate, PATIENCE_MS).catch(() => accuse('seal_key', null, why));
}

/** All that happened is sealed, exported, verified and told. */
async function settled({ receiver, raw, exported, command, accuse, remark }: Scene<Audited>): Promise<void> {
  const entries = await raw.xrange('{rekeyd}:store:audit', '-', '+');
  const numbers = entries.filter(([, fields]) => JSON.parse(fields[3] ?? '{}').type !== 'audit.sealed');
  const last = Number(numbers.at(-1)?.[0].split('-')[0] ?? '0');
  await until('the receiver has heard all', () => receiver.last >= last, SETTLED_MS).catch(() => {
    accuse('hook_late', null, `the receiver heard of no entry after ${receiver.last}`);
  });
  const isSealed = async () => Number(await raw.hget('{rekeyd}:store:seal', 'seq')) >= last;
  await until('the log is sealed', isSealed, SETTLED_MS).catch(() =>
    accuse('not_sealed', null, `entry ${last} is not sealed`),
  );
  let said = '';
  const isVerified = async () => {
    said = await command('audit', 'export', exported)
      .then(() => command('audit', 'verify', exported, '--json'))
      .catch((error: unknown) => messageOf(error));
    return said.startsWith('{') && JSON.parse(said).sealed >= last;
  };
  if (!(await isVerified())) accuse('not_verified', null, said);
  remark(`${last} entries`);
}
