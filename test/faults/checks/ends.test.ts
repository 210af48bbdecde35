/** How it all ends: with a real server that is asked whether the active key signs in. */
import type { JsonWebKey } from 'node:crypto';
import { CompactEncrypt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Emulator, startEmulator } from '../../emulator/server.ts';
import type { TestKey } from '../../emulator/testing.ts';
import type { ClientEnd } from '../evidence/evidence.ts';
import type { JwkMembers } from '../evidence/history.ts';
import { DEPLOYMENT, KEK } from '../names.ts';
import { judge } from './checker.ts';
import { endsWell } from './ends.ts';
import { evidenceOf, rotation } from './story.ts';
import { client, documentOf, foreign, fresh, gone, kidOf, old, recordOf, summary } from './subject.ts';

let emulator: Emulator;
let end: ClientEnd;

const privateOf = ({ privateKey }: TestKey) => privateKey.export({ format: 'jwk' }) as JwkMembers & JsonWebKey; // a private key's export

function seal({ privateKey }: TestKey): Promise<string> {
  const plaintext = privateKey.export({ format: 'der', type: 'pkcs8' });
  return new CompactEncrypt(plaintext).setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM' }).encrypt(KEK);
}

beforeAll(async () => {
  emulator = await startEmulator();
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'overlap', selection: 'jwks_kid' });
  const made = emulator.addClient({
    deployment: DEPLOYMENT,
    app: 'overlap',
    alg: 'ES256',
    jwks: documentOf(fresh).jwks,
  });
  const keys: readonly JwkMembers[] = (made.jwks?.keys ?? []).map((key) => ({ ...key }));
  end = {
    client: { ...client, id: made.id, clientId: made.client_id, foreign: keys.slice(1) },
    record: recordOf([[fresh, 'active']], gone),
    history: [summary('finished')],
    sealed: new Map([[kidOf(fresh), await seal(fresh)]]),
    server: { keys, jwksUri: null },
    folder: new Map([['current.jwk.json', privateOf(fresh)]]),
    served: null,
    open: false,
  };
});

afterAll(() => emulator.close());

const retire = (good: ClientEnd) => ({
  ...good.client,
  app: { ...good.client.app, policy: { foreign_keys: 'retire' } },
});
/** A client that is listed as unfinished, and its standby key, which signers have. */
const keeping = (
  { client: { app, ...others }, record, folder }: ClientEnd,
  leaving: string | null,
): Partial<ClientEnd> => ({
  client: { ...others, app: { ...app, policy: { standby: true } } },
  record: record && { ...record, standby: { kid: kidOf(old), leaving } },
  folder: new Map([...(folder ?? []), ['next.jwk.json', privateOf(old)]]),
  open: true,
});
const server = (...keys: readonly JwkMembers[]) => ({ server: { keys, jwksUri: null } });
const [first = {}, others = {}] = documentOf(fresh).jwks.keys.map((key): JwkMembers => ({ ...key }));

const CASES: Readonly<
  Record<
    string,
    readonly [change: (good: ClientEnd) => Partial<ClientEnd> | Promise<Partial<ClientEnd>>, ...rules: string[]]
  >
> = {
  'it is as it should be': [() => ({})],
  'the store does not know the client': [() => ({ record: null }), 'one_active'],
  'no key is active': [() => ({ record: recordOf([[old, 'deactivated']]) }), 'one_active'],
  'two keys are active': [
    () => ({
      record: recordOf([
        [old, 'active'],
        [fresh, 'active'],
      ]),
    }),
    'one_active',
  ],
  'a client is halted': [() => ({ record: recordOf([[fresh, 'active']], { halted: 'why' }) }), 'halted'],
  'a client is listed as unfinished': [() => ({ open: true }), 'open'],
  'a client is listed as unfinished, and has a standby key': [(good) => keeping(good, null), 'open'],
  'a client has a standby key that goes': [(good) => keeping(good, 'it is old')],
  'a client has a standby key that signers have no more': [
    (good) => ({ ...keeping(good, 'it is old'), folder: good.folder }),
  ],
  'a client has no standby key yet': [(good) => ({ ...keeping(good, null), record: good.record, folder: good.folder })],
  'a client has a standby key that signers do not have': [
    (good) => ({ ...keeping(good, null), folder: good.folder, open: false }),
    'folder',
  ],
  'a rotation failed': [() => ({ history: [summary('failed')] }), 'outcome'],
  'an old private half is still stored': [
    async ({ sealed }) => ({ sealed: new Map([...sealed, [kidOf(old), await seal(old)]]) }),
    'leftover',
  ],
  'the active private half is not stored': [() => ({ sealed: new Map() }), 'lost_key'],
  'the active private half does not open': [() => ({ sealed: new Map([[kidOf(fresh), 'a.b.c.d.e']]) }), 'lost_key'],
  'another key is sealed under its name': [
    async () => ({ sealed: new Map([[kidOf(fresh), await seal(old)]]) }),
    'lost_key',
  ],
  'the server refuses the active key': [
    async () => ({
      record: recordOf([[old, 'active']]),
      sealed: new Map([[kidOf(old), await seal(old)]]),
      ...server({ ...first, ...old.jwk }, others),
      folder: new Map([['current.jwk.json', privateOf(old)]]),
    }),
    'refused',
  ],
  'the active key is not published': [({ server: { keys } }) => server(...keys.slice(1)), 'unpublished'],
  'an old key is still published': [({ server: { keys } }) => server(...keys, { ...old.jwk }), 'forgotten_key'],
  'an old key is still served': [({ server: { keys } }) => ({ served: [...keys, { ...old.jwk }] }), 'forgotten_key'],
  'a foreign key is gone': [({ server: { keys } }) => server(...keys.slice(0, 1)), 'unpublished'],
  'a foreign key was changed': [
    ({ server: { keys } }) => server(...keys.slice(0, 1), { ...foreign.jwk, use: 'enc' }),
    'foreign_key',
  ],
  'a foreign key that was to be retired is still there': [(good) => ({ client: retire(good) }), 'forgotten_key'],
  'signers sign with the old key': [() => ({ folder: new Map([['current.jwk.json', privateOf(old)]]) }), 'folder'],
  'signers still hold the old key': [
    ({ folder }) => ({ folder: new Map([...(folder ?? []), ['previous.jwk.json', privateOf(old)]]) }),
    'folder',
  ],
  'signers hold nothing': [() => ({ folder: new Map() }), 'folder'],
  'signers have no folder': [() => ({ folder: null }), 'folder'],
};

describe('the checker hears when, in the end,', () => {
  test.each(Object.entries(CASES).map(([what, [change, ...rules]]) => ({ what, change, rules })))(
    '$what',
    async ({ change, rules }) => {
      const evidence = evidenceOf(rotation(), { ends: [{ ...end, ...(await change(end)) }] });
      const found = await endsWell(evidence, emulator);
      expect([...new Set(found.map(({ rule }) => rule))].sort(), JSON.stringify(found)).toEqual(rules);
    },
  );

  test('a rotation is rolled back, unless somebody edited the client meanwhile', async () => {
    const evidence = evidenceOf(rotation(), { ends: [{ ...end, history: [summary('rolled_back')] }] });
    const edit = { kind: 'edit', at: 0, ref: client.ref, what: 'takes ours away' } as const;
    expect((await endsWell(evidence, emulator)).map(({ rule }) => rule)).toEqual(['outcome']);
    expect(await endsWell({ ...evidence, events: [edit, ...evidence.events] }, emulator)).toEqual([]);
  });

  test('nothing is said of a fleet that did not come to rest', async () => {
    const evidence = { ...evidenceOf(rotation()), ends: [{ ...end, open: true }] };
    const rules = async (atRest: boolean) => (await judge(evidence, emulator, atRest)).map(({ rule }) => rule);
    expect(await rules(true)).toContain('open');
    expect(await rules(false)).not.toContain('open');
  });
});

describe('the end of a client that nobody entrusted to rekeyd is good when', () => {
  const stranger = (good: ClientEnd, change: Partial<ClientEnd> = {}): ClientEnd => ({
    ...good,
    client: {
      ...good.client,
      enrolment: 'found',
      initial: { ...client.initial, kid: kidOf(fresh), jwk: privateOf(fresh), privateKey: fresh.privateKey },
    },
    record: { ...recordOf([]), enrolment: 'found' },
    history: [],
    sealed: new Map(),
    folder: null,
    ...change,
  });

  test.each<[string, (good: ClientEnd) => ClientEnd | Promise<ClientEnd>, ...string[]]>([
    ['nothing was done', (good) => stranger(good)],
    ['the store has never heard of it', (good) => stranger(good, { record: null })],
    ['it is not enrolled', (good) => stranger(good, { record: recordOf([]) }), 'not_entrusted'],
    ['it was not rotated', (good) => stranger(good, { history: [summary('finished')] }), 'outcome'],
    ['its keys are as they were', (good) => stranger(good, server(first)), 'not_entrusted'],
    [
      'nothing of it is stored',
      async (good) => stranger(good, { sealed: new Map([['k', await seal(fresh)]]) }),
      'leftover',
    ],
    ['nothing was delivered', (good) => stranger(good, { folder: new Map() }), 'folder'],
    [
      'its own key signs in',
      (good) => ({ ...stranger(good), client: { ...stranger(good).client, initial: client.initial } }),
      'not_entrusted',
      'refused',
    ],
  ])('%s', async (_, of, ...rules) => {
    const found = await endsWell(evidenceOf([], { ends: [await of(end)] }), emulator);
    expect([...new Set(found.map(({ rule }) => rule))].sort(), JSON.stringify(found)).toEqual(rules);
  });

  test.each<[string, TestKey, readonly string[]]>([
    ['a key in its folder signs in, where a lost store took the rest', fresh, []],
    ['no key in its folder does', old, ['refused']],
  ])('%s', async (_, key, rules) => {
    const folder = new Map([['next.jwk.json', { ...privateOf(key), kid: kidOf(key), alg: 'ES256' }]]);
    const gone = { kind: 'store', what: 'declared', how: 'why', at: 0 } as const;
    const evidence = { ...evidenceOf([], { ends: [{ ...end, record: null, folder }] }), events: [gone] };
    expect((await endsWell(evidence, emulator)).map(({ rule }) => rule)).toEqual(rules);
  });
});
