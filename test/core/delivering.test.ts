/** Making a key, and handing keys to signers. */
import { describe, expect, it } from 'vitest';
import { delivered, generated, notDelivered } from '../../src/core/delivering.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  CONTEXT,
  contextAt,
  idOf,
  key,
  MINUTE,
  material,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  signersHold,
  tries,
  typesOf,
} from './support.ts';

const LEAKED = { compromised: { kid: null } };

describe('a new key', () => {
  it('is in the record with its rotation, which counts it', () => {
    const record = rotating('overlap', 'requested', {}, { keysMade: 1, tries: tries({ failed: 2, error: 'x' }) });
    if (record.rotation === null) throw new Error('there should be a rotation');
    const change = generated(record, record.rotation, material('b'), contextAt(START + 1));
    expect(change.record).toMatchObject({
      rotation: { phase: { name: 'stored', kid: 'b' }, keysMade: 2, tries: tries({}), before: null },
      keys: [{ kid: 'a' }, { kid: 'b', id: idOf('b'), state: 'pre-active', createdAt: START + 1, publishedAt: null }],
    });
    expect(change.entries).toMatchObject([
      { type: 'key.generated', rotation: 'r1', data: { kid: 'b', from: null, to: 'pre-active' } },
      { type: 'key.stored', rotation: 'r1' },
    ]);
  });
});

describe('handing keys to signers', () => {
  const flip = (record: ClientRecord, previous: string | null = 'a', at = START) =>
    delivered(record, { current: 'b', next: null, previous }, 'rotation', contextAt(at));

  it('the stored key is delivered when they hold it', () => {
    const record = rotating('overlap', 'stored', {}, { tries: tries({ failed: 3, error: 'x' }) });
    const change = delivered(record, { current: 'a', next: 'b', previous: null }, 'rotation', CONTEXT);
    expect(change.record).toMatchObject({
      rotation: { phase: { name: 'delivered', kid: 'b' }, tries: tries({}) },
      signers: { delivered: { current: 'a', next: 'b' } },
    });
    expect(typesOf(change)).toEqual(['key.delivered']);
  });

  it('the proven key becomes the active one when they hold it', () => {
    const change = flip(seeing(rotating('cutover', 'proven'), { keys: [published('b')] }), 'a', START + MINUTE);
    expect(change.record).toMatchObject({
      rotation: null,
      server: { format: 'jwks' },
      keys: [
        { kid: 'a', state: 'deactivated' },
        { kid: 'b', state: 'active', activatedAt: START + MINUTE },
      ],
      retirements: [
        {
          kid: 'a',
          role: 'replaced',
          phase: 'withdrawn',
          until: START + 11 * MINUTE,
          names: ['a'],
          rotation: { id: 'r1', state: 'active', kid: 'b', replaces: 'a', activeAt: START + MINUTE },
        },
      ],
    });
    expect(change.ended ?? []).toEqual([]);
    expect(typesOf(change)).toEqual(['key.delivered', 'key.activated', 'key.deactivated']);
  });

  it('an overlap keeps the old key published for its time, and remembers each name it stands under', () => {
    const keys = [published('a'), published('a', 'ES256', 'alias'), published('b')];
    const { record } = flip(seeing(rotating('overlap', 'proven'), { keys }));
    expect(record.retirements).toMatchObject([
      { kid: 'a', phase: 'overlap', until: START + 10 * MINUTE, names: ['a', 'alias'] },
    ]);
  });

  it('after a compromise nothing is waited for', () => {
    const change = flip(rotating('cutover', 'proven', {}, LEAKED));
    expect(change.record).toMatchObject({ keys: [{ state: 'compromised' }, {}], retirements: [{ until: START }] });
    expect(typesOf(change)).toContain('key.compromised');
  });

  it('a first key that cuts over has nothing to leave behind', () => {
    const change = flip(rotating('cutover', 'proven', { keys: [key('b', 'pre-active')] }), null);
    expect(change.record).toMatchObject({ retirements: [], rotation: null });
    expect(change.ended).toMatchObject([{ id: 'r1', state: 'finished', kid: 'b', replaces: null }]);
    expect(typesOf(change)).toContain('rotation.completed');
  });

  it('a first key that overlaps leaves foreign ones behind', () => {
    const { record } = flip(rotating('overlap', 'proven', { keys: [key('b', 'pre-active')] }), null);
    expect(record.retirements).toMatchObject([{ kid: null, phase: 'overlap', names: [] }]);
  });

  it('a key that they go without is told, and not tried again and again', () => {
    const delivery = { current: 'a', next: 'b', previous: null };
    const change = delivered(rotating('cutover', 'stored', {}, LEAKED), delivery, 'rotation', CONTEXT, [
      { kid: 'a', why: 'gone' },
    ]);
    expect(change.record).toMatchObject({
      signers: { delivered: delivery },
      rotation: { phase: { name: 'delivered' } },
    });
    expect(change.entries).toMatchObject([
      { type: 'key.delivered', data: { current: null, next: 'b', left_out: ['a'], error: 'gone' } },
    ]);
  });

  it('a delivery for an old key is told in the name of its rotation', () => {
    const record = retiringRecord(retirement('refused'), {
      signers: { ...signersHold('b', null, 'a'), tries: tries({ failed: 2, error: 'x' }) },
    });
    const change = delivered(record, { current: 'b', next: null, previous: null }, 'signers', CONTEXT);
    expect(change.entries).toMatchObject([{ type: 'key.delivered', rotation: 'r0' }]);
    expect(change.record.signers.tries).toEqual(tries({}));
  });
});

describe('a delivery that failed', () => {
  it('leaves it unknown what signers hold, and counts for the rotation that waits for it', () => {
    const { record } = notDelivered(rotating('overlap', 'stored'), 'rotation', 'disk full', CONTEXT);
    expect(record).toMatchObject({
      signers: { delivered: null, tries: { failed: 0 } },
      rotation: { tries: { failed: 1, error: 'disk full' } },
    });
  });

  it('counts for the signers where no rotation waits for it', () => {
    const under = rotating('overlap', 'published');
    const { record } = notDelivered(under, 'signers', 'disk full', CONTEXT);
    expect(record).toMatchObject({
      signers: { delivered: null, tries: { failed: 1, error: 'disk full' } },
      rotation: under.rotation,
    });
  });
});
