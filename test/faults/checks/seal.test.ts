import { expect, test } from 'vitest';
import { hashOf, type Link, NO_HASH } from '../../../src/audit/chain.ts';
import { checkpointDraft, createdDraft, rotatedDraft } from '../../../src/audit/checkpoint.ts';
import { newSealKey, openSealKey } from '../../../src/audit/seal-key.ts';
import type { AuditDraft } from '../../../src/core/audit.ts';
import type { AuditLine } from '../evidence/evidence.ts';
import { rulesOf } from './fleets.ts';
import { sealHolds } from './seal.ts';

const KEKS = [{ id: 'kek-1', key: Buffer.alloc(32, 1) }];
const ORDINARY = { client: null, rotation: null, actor: 'a test', reason: 'why', data: { b: 1, a: ['2'] } } as const;

const lineOf = (draft: AuditDraft, seq: number): AuditLine => ({
  ...{ ...draft, seq, at: 1000 * seq, draft: JSON.stringify(draft) },
});

async function key() {
  const made = await newSealKey(KEKS);
  return openSealKey(made.jwe, made.kid, KEKS);
}

/** 1 a key, 2 and 3 entries, 4 a checkpoint of 3, 5 another key, 6 a checkpoint of 5. */
async function sealedLog(): Promise<readonly AuditLine[]> {
  const [one, other] = [await key(), await key()];
  const log: AuditLine[] = [];
  let last: Link = { seq: 0, hash: NO_HASH };
  const write = (draft: AuditDraft) => {
    const line = lineOf(draft, log.length + 1);
    log.push(line);
    const { seq } = line;
    last = { seq, hash: hashOf({ ...draft, seq, time: new Date(line.at).toISOString() }, last.hash) };
  };
  const about = { store: 'a store', segment: 1 };
  write(createdDraft(one));
  write({ ...ORDINARY, type: 'key.generated' });
  write({ ...ORDINARY, type: 'key.stored' });
  const first = last;
  write(await checkpointDraft({ ...about, ...first, previous: { seq: 0, hash: NO_HASH } }, one));
  write(await rotatedDraft({ store: 'a store', sealed: first }, one, other, ORDINARY));
  write(await checkpointDraft({ ...about, ...last, previous: first }, other));
  return log;
}

test('a log that is sealed holds', async () => {
  expect(rulesOf(sealHolds, [], [], [], { audit: await sealedLog() })).toEqual([]);
});

const changed = (line: AuditLine, data: object): AuditLine => {
  const draft = { ...JSON.parse(line.draft), data: { ...line.data, ...data } };
  return { ...line, data: draft.data, draft: JSON.stringify(draft) };
};

test.each<[what: string, change: (line: AuditLine) => AuditLine, of: number]>([
  ['an entry', (line) => changed(line, { b: 2 }), 3],
  ['the time of an entry', (line) => ({ ...line, at: line.at + 1 }), 2],
  ['what a checkpoint covers', (line) => changed(line, { seq: 2 }), 4],
  ['the hash of a checkpoint', (line) => changed(line, { hash: NO_HASH }), 4],
  ['the signature of a checkpoint', (line) => changed(line, { jws: `${line.data.jws}`.slice(0, -6) }), 6],
  ['the key of a checkpoint', (line) => changed(line, { kid: 'another' }), 6],
  ['the new key', (line) => changed(line, { jws: 'e30.e30.AAAA' }), 5],
])('it does not when somebody changes %s', async (_, change, of) => {
  const audit = (await sealedLog()).map((line) => (line.seq === of ? change(line) : line));
  expect(rulesOf(sealHolds, [], [], [], { audit })).toEqual(['seal_broken']);
});
