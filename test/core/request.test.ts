import { describe, expect, it } from 'vitest';
import type { RotationRequest } from '../../src/core/begin.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import type { Rotation } from '../../src/core/rotation.ts';
import {
  asked,
  client,
  enrolledRecord,
  foundRecord,
  heldRecord,
  MINUTE,
  POLICY,
  publishedPem,
  rotating,
  START,
  signersHold,
  THEIR_URI,
  tries,
  typesOf,
  withServer,
} from './support.ts';

const KEEP: Partial<ClientPolicy> = { alg: 'keep', format: 'keep' };

describe('asking for a rotation', () => {
  it('a hundred times is one rotation', () => {
    let record = enrolledRecord();
    const ids = new Set<string>();
    for (let time = 0; time < 100; time += 1) {
      const started = request(record, asked(`r${time}`), POLICY, START);
      expect(typesOf(started)).toEqual(['rotation.requested', ...(time === 0 ? ['rotation.started'] : [])]);
      if (time > 0) expect(started.record).toBe(record);
      ids.add(started.rotation);
      record = started.record;
    }
    expect([...ids]).toEqual(['r0']);
  });

  it('begins with nothing made, nothing sent and nothing to restore', () => {
    expect(request(enrolledRecord(), asked('r1'), POLICY, START).record.rotation).toMatchObject({
      id: 'r1',
      phase: { name: 'requested' },
      before: null,
      keysMade: 0,
      abandoned: null,
      marks: [],
      tries: { failed: 0, refused: 0, notBefore: 0, error: null },
    });
  });

  it('is told in the words of the one who asked, also where a rotation is under way', () => {
    const other: RotationRequest = { ...asked('r2'), actor: 'siem', reason: 'key found in a log', request: 'job-9' };
    const told = { type: 'rotation.requested', rotation: 'r1', actor: 'siem', reason: 'key found in a log' };
    const under = rotating('cutover', 'cut_over');
    expect(request(under, other, POLICY, START).entries).toMatchObject([
      { ...told, data: { request: 'job-9', compromised: false, joins: 'r1' } },
    ]);
    expect(request({ ...under, halted: 'look' }, other, POLICY, START).entries).toMatchObject([told]);
    expect(request(under, { ...other, compromised: { kid: 'b' } }, POLICY, START).entries).toMatchObject([
      { ...told, data: { request: 'job-9', compromised: true, kid: 'b', escalates: 'r1' } },
      { ...told, type: 'key.compromised', data: { kid: 'b', from: 'pre-active', to: 'compromised' } },
    ]);
  });

  it('is refused while the rotation under way is being abandoned, unless a key has leaked', () => {
    const ending = rotating('cutover', 'cut_over', {}, { abandoned: asked('p') });
    expect(() => request(ending, asked('r2'), POLICY, START)).toThrow(
      expect.objectContaining({ code: 'under_way', message: expect.stringContaining('ask again when it has ended') }),
    );
    expect(request(ending, asked('r2', { kid: null }), POLICY, START).rotation).toBe('r1');
    const halted = request({ ...ending, halted: 'look' }, asked('r2'), POLICY, START);
    expect(halted.record, 'it would not end by itself').toMatchObject({ halted: null, rotation: { abandoned: null } });
  });

  it('takes a halted client up again where it stood, with fresh attempts for every part', () => {
    const worn = tries({ failed: 3, refused: 2, notBefore: START + MINUTE, error: 'no' });
    const halted = withServer(
      rotating(
        'cutover',
        'cut_over',
        { halted: 'look', signers: { ...signersHold('a', 'b'), tries: worn } },
        { tries: worn },
      ),
      { conflicts: 2, tries: worn },
    );
    const { record, rotation } = request(halted, asked('r2'), POLICY, START);
    const fresh = { failed: 0, refused: 0, notBefore: 0, error: null };
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({
      halted: null,
      rotation: { phase: halted.rotation?.phase, tries: fresh },
      server: { conflicts: 0, tries: fresh },
      signers: { tries: fresh },
    });
  });
});

describe('a client whose application was not seen to take its key from us', () => {
  it.each<[string, ClientRecord, RegExp]>([
    [
      'found',
      foundRecord(),
      /is found: its active key is not ours.*keys import.*--file KEY`\).*then `rekeyd enroll .*--take-over/,
    ],
    ['held', heldRecord(), /is held: its key was imported.*rekeyd enroll .*--take-over/],
  ])('and is %s is refused, and told what to do', (_, record, message) => {
    expect(() => request(record, asked('r1'), POLICY, START)).toThrow(
      expect.objectContaining({ code: 'not_enrolled', message: expect.stringMatching(message) }),
    );
  });

  it.each<[string, RotationRequest]>([
    ['somebody takes it over', asked('r1', null, true)],
    ['its key may have leaked', asked('r1', { kid: null })],
  ])('is rotated when %s, and stays as it is until a key of ours is in use', (_, asking) => {
    for (const record of [foundRecord(), heldRecord()]) {
      const started = request(record, asking, POLICY, START);
      expect(started.record).toMatchObject({ enrolment: record.enrolment, rotation: { id: 'r1' } });
      expect(typesOf(started)).toEqual(['rotation.requested', 'rotation.started']);
    }
  });

  it('is not taken over by a policy: who asks has to say so', () => {
    expect(() => request(heldRecord(), asked('r1'), { ...POLICY, adopt: 'take_over' }, START)).toThrow();
  });
});

describe('the strategy', () => {
  it.each<[string, Partial<ClientPolicy>, ClientRecord, Rotation['strategy']]>([
    ['a server that is said to take several keys', {}, enrolledRecord(), 'overlap'],
    ['a server of which nothing is known', { strategy: 'auto' }, enrolledRecord(), 'cutover'],
    ['a server that takes one key', { strategy: 'cutover' }, enrolledRecord(), 'cutover'],
    ['a single PEM, which holds one key', { format: 'pem' }, enrolledRecord(), 'cutover'],
    ['leaving a single PEM behind', {}, withServer(enrolledRecord(), { format: 'pem' }), 'cutover'],
    ['leaving a foreign PEM behind', {}, foundRecord(client({ keys: [publishedPem('x')] })), 'cutover'],
    ['keeping a single PEM', KEEP, withServer(enrolledRecord(), { format: 'pem' }), 'cutover'],
    ['a set that we serve', { format: 'jwks_uri' }, enrolledRecord(), 'overlap'],
  ])('for %s', (_, policy, record, strategy) => {
    const started = request(record, asked('r1', null, true), { ...POLICY, ...policy }, START);
    expect(started.record.rotation?.strategy).toBe(strategy);
  });
});

describe('a policy that keeps what the client has', () => {
  const seen = (change: Parameters<typeof client>[0]) => foundRecord(client(change));
  it.each<[string, ClientRecord, string, string]>([
    ['the alg of the key in use', withServer(enrolledRecord(), { format: 'pem' }), 'ES256', 'pem'],
    ['the registered alg', seen({ alg: 'PS512' }), 'PS512', 'jwks'],
    ['the alg of its first key', seen({ alg: null }), 'ES256', 'jwks'],
    ["the server's default", seen({ alg: null, keys: [publishedPem('x')] }), 'RS256', 'pem'],
    ['the place of its keys', seen({ keys: [], jwksUri: THEIR_URI }), 'ES256', 'jwks_uri'],
  ])('keeps %s', (_, record, alg, format) => {
    const { rotation } = request(record, asked('r1', null, true), { ...POLICY, ...KEEP }, START).record;
    expect(rotation).toMatchObject({ alg, format });
  });

  it.each(['ES256K', 'none', 'HS256'])('cannot keep %s, which we make no keys for', (alg) => {
    expect(() => request(seen({ alg }), asked('r1', null, true), { ...POLICY, ...KEEP }, START)).toThrow(
      expect.objectContaining({ code: 'algorithm_unsupported', message: expect.stringContaining(alg) }),
    );
    expect(request(seen({ alg }), asked('r1', null, true), POLICY, START).record.rotation?.alg).toBe('ES256');
  });
});
