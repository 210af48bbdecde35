/** What somebody does on the command line has its audit entries, with what they said and who they were authenticated as. */
import { userInfo } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AuditEntry, AuditType } from '../../src/core/audit.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

const { username } = userInfo();
const WHO = { actor: `cli:${username}`, claimed_by: `os:${username}` };

let world: World;
let told: readonly AuditEntry[] = [];

beforeAll(async () => {
  world = await openWorld();
  const ends = async (code: number, ...args: string[]) => {
    const ended = await world.run(args);
    expect(ended.code, `${args.join(' ')}: ${ended.stderr}`).toBe(code);
  };
  const client = await world.enrolledClient('pem-app');
  const refused = world.addClient('pem-app');
  world.emulator.faults.add({ kind: 'sign_in_refused', reason: 'invalid_signature' });
  await ends(1, 'keys', 'import', refused.ref, '--file', await world.keyFile(refused));
  await ends(0, 'token', 'create', 'siem', '--scope', 'read');
  await ends(0, 'pause', client.ref, '--reason', 'a freeze');
  await ends(0, 'resume', client.ref);
  const service = await world.start('--no-http');
  await ends(0, 'rotate', client.ref, '--reason', 'by hand', '--wait', 'finished');
  await world.writeConfig({ ...world.config, durability: 'relaxed' });
  await ends(1, 'reload', '--reason', 'a try');
  const keks = [2, 1].map((number) => ({ id: `kek-${number}`, key: number === 2 ? 'env:KEK2' : 'env:KEK' }));
  await world.writeConfig({ ...world.config, encryption: { keks } });
  await ends(0, 'reload', '--reason', 'a new KEK');
  service.kill('SIGTERM');
  await service.ended;
  await ends(0, 'keys', 'rewrap');
  await ends(0, 'token', 'revoke', 'siem');
  await ends(0, 'release', client.ref);
  told = documentOf(await world.run(['audit', 'tail', '-n', '1000', '--json']));
}, 120_000);
afterAll(() => world.close());

const KEKS = { from: 'kek-1', to: 'kek-2' };

it.each<[string, AuditType, object[]]>([
  ['an import', 'key.imported', [{}]],
  ['an import of a key that signs nobody in', 'key.import_refused', [{ data: { code: 'key_refused' } }]],
  ['an enrolment', 'client.enrolled', [{}]],
  ['a new token', 'token.created', [{ data: { name: 'siem' } }]],
  ['a pause', 'schedule.paused', [{ reason: 'a freeze' }]],
  ['its end', 'schedule.resumed', [{}]],
  ['a request', 'rotation.requested', [{ reason: 'by hand' }]],
  ['what came of it', 'rotation.completed', [{ reason: 'by hand' }]],
  ['a config that cannot be used', 'config.refused', [{ data: { problems: [expect.stringContaining('durability')] } }]],
  ['a new config', 'config.reloaded', [{ reason: 'a new KEK' }]],
  [
    'keys under another KEK',
    'keys.rewrapped',
    [{ data: KEKS }, { client: null, data: { what: 'tokens', to: 'kek-2' } }],
  ],
  ['a revoked token', 'token.revoked', [{ data: { name: 'siem' } }]],
  ['a release', 'client.released', [{}]],
])('%s', (_, type, about) => {
  const found = told.filter((entry) => entry.type === type);
  expect(found).toMatchObject(about.map((one) => ({ ...WHO, ...one })));
});

it('and no entry of a person is without them', () => {
  const ofPeople = told.filter(({ actor }) => actor !== 'rekeyd' && !actor.startsWith('schedule:'));
  expect(ofPeople.length).toBeGreaterThan(20);
  expect(ofPeople.filter(({ claimed_by: by }) => by !== WHO.claimed_by)).toEqual([]);
});
