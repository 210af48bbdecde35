import { describe, expect, it } from 'vitest';
import { request } from '../../src/core/begin.ts';
import { fail } from '../../src/core/ending.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientRecord, Rotation } from '../../src/core/record.ts';
import {
  adoptedRecord,
  asked,
  CONTEXT,
  MINUTE,
  managedRecord,
  POLICY,
  retirement,
  retiringRecord,
  rotating,
  START,
  stateOf,
  typesOf,
} from './support.ts';

describe('asking for a rotation', () => {
  it('a hundred times is one rotation', () => {
    let record = managedRecord();
    const ids = new Set<string>();
    for (let time = 0; time < 100; time += 1) {
      const started = request(record, asked(`r${time}`), POLICY, START);
      expect(typesOf(started)).toEqual(['rotation.requested', ...(time === 0 ? ['rotation.started'] : [])]);
      if (time > 0) expect(started.record).toBe(record);
      ids.add(started.rotation);
      record = started.record;
    }
    expect([...ids]).toEqual(['r0']);
    expect(record.history).toMatchObject([{ id: 'r0', state: 'running', replaces: 'a' }]);
  });

  it('with the id of one that ended is answered with that one', () => {
    const { record } = request(managedRecord(), asked('r1'), POLICY, START);
    const ended: ClientRecord = { ...record, rotation: null };
    expect(request(ended, asked('r1'), POLICY, START)).toEqual({ record: ended, entries: [], rotation: 'r1' });
  });

  it('is told in the words of whoever asked, also where a rotation is under way', () => {
    const other = { ...asked('r2'), actor: 'siem', reason: 'key found in a log', request: 'job-9' };
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

  it('takes a halted client up again where it stood', () => {
    const halted = rotating('cutover', 'cut_over', {
      halted: 'look',
      conflicts: 2,
      attempts: 3,
      notBefore: START + MINUTE,
    });
    const { record, rotation } = request(halted, asked('r2'), POLICY, START);
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({ halted: null, conflicts: 0, attempts: 0, notBefore: 0, rotation: halted.rotation });
  });

  it.each<[string, Partial<typeof POLICY>, Partial<ClientRecord>, Rotation['strategy']]>([
    ['a server that is said to take several keys', {}, {}, 'overlap'],
    ['a server of which nothing is known', { strategy: 'auto' }, {}, 'cutover'],
    ['a server that takes one key', { strategy: 'cutover' }, {}, 'cutover'],
    ['a single PEM, which holds one key', { format: 'pem' }, {}, 'cutover'],
    ['leaving a single PEM behind', {}, { format: 'pem' }, 'cutover'],
    ['a set that we serve', { format: 'jwks_uri' }, {}, 'overlap'],
  ])('chooses for %s', (_, policy, change, strategy) => {
    const { record } = request({ ...managedRecord(), ...change }, asked('r1'), { ...POLICY, ...policy }, START);
    expect(record.rotation?.strategy).toBe(strategy);
  });
});

describe('a compromised key', () => {
  const compromise = (record: ClientRecord, kid: string | null, id = 'c1') =>
    request(record, asked(id, { kid }), POLICY, START);

  it('is replaced by a cutover at once', () => {
    const { record, entries } = compromise(managedRecord(), null);
    expect(record.rotation).toMatchObject({ strategy: 'cutover', compromised: { kid: null } });
    expect(entries[0]).toMatchObject({ type: 'rotation.requested', data: { compromised: true } });
  });

  it.each<[Rotation['phase']['name'], Rotation['phase']['name']]>([
    ['requested', 'requested'],
    ['stored', 'stored'],
    ['delivered', 'delivered'],
    ['published', 'delivered'],
    ['proven', 'delivered'],
  ])('turns an overlap that is %s into a cutover that is %s', (from, to) => {
    const { record, rotation } = compromise(rotating('overlap', from), 'a');
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({
      rotation: { strategy: 'cutover', phase: { name: to }, compromised: { kid: 'a' } },
      retiring: [],
    });
  });

  it.each<[string, ClientRecord, string | null]>([
    ['that is named itself', rotating('cutover', 'cut_over'), 'b'],
    ['that signers may be using already', rotating('overlap', 'proven'), null],
    ['that is being taken back', rotating('cutover', 'reverting'), 'a'],
    ['that got the client halted', rotating('cutover', 'cut_over', { halted: 'look' }), 'a'],
  ])('throws away a new key %s, for another', (_, from, kid) => {
    const { record } = compromise(from, kid);
    expect(record).toMatchObject({
      halted: null,
      rotation: { phase: { name: 'requested' } },
      retiring: [{ kind: 'discard', kid: 'b', rotation: 'r1' }],
    });
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'generate' });
  });

  it.each([['b'], [null]])('that a cutover has proven is the one in use, and replaced like one (%s)', (kid) => {
    const { record, entries, rotation } = compromise(rotating('cutover', 'proven'), kid);
    expect(rotation).toBe('c1');
    expect(stateOf(record, 'b')).toBe('active');
    expect(record).toMatchObject({
      rotation: { id: 'c1', compromised: { kid }, phase: { name: 'requested' } },
      retiring: [{ kind: 'cutover', kid: 'a', rotation: 'r1' }],
    });
    expect(entries.map(({ type }) => type)).toEqual([
      'key.activated',
      'key.deactivated',
      'rotation.requested',
      'rotation.started',
    ]);
  });

  it('that is reported a second time is not the new one', () => {
    const under = rotating('cutover', 'proven', {}, { compromised: { kid: null } });
    const { record, rotation } = compromise(under, null);
    expect(rotation).toBe('r1');
    expect(record.rotation?.phase).toEqual(under.rotation?.phase);
  });

  it('that was thrown away may still be published: when no other takes its place, a person has to look', () => {
    const { record } = compromise(rotating('cutover', 'cut_over'), 'b');
    if (record.rotation === null) throw new Error('there should be a rotation');
    expect(fail(record, record.rotation, 'no luck', CONTEXT).record).toMatchObject({
      halted: 'no luck',
      retiring: [{ kid: 'b' }],
    });
  });

  it('that is on its way out already has to hurry', () => {
    const { record, entries, rotation } = compromise(retiringRecord(retirement('overlap', 'waiting')), 'a');
    expect(rotation).toBe('r0');
    expect(record).toMatchObject({ rotation: null, retiring: [{ until: START }] });
    expect(stateOf(record, 'a')).toBe('compromised');
    expect(entries).toMatchObject([
      { type: 'rotation.requested', data: { compromised: true, kid: 'a', joins: 'r0' } },
      { type: 'key.compromised', data: { from: 'deactivated', to: 'compromised' } },
    ]);
    expect(typesOf(compromise(record, 'a', 'c2'))).toEqual(['rotation.requested']);
  });

  it('of others can be named', () => {
    expect(compromise(adoptedRecord(), 'foreign-1').record.rotation).toMatchObject({
      compromised: { kid: 'foreign-1' },
    });
  });

  it('that nobody knows is an error', () => {
    expect(() => compromise(managedRecord(), 'who')).toThrow(expect.objectContaining({ code: 'not_found' }));
  });
});
