/** `rekeyd keys cbom` against the official schema of CycloneDX 1.6. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { beforeAll, expect, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { algorithmComponents, type Component, keyComponents } from '../../src/core/cbom.ts';
import { ALGORITHMS } from '../../src/core/keys.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import {
  client,
  DAY,
  entryOf,
  foundRecord,
  HOUR,
  heldRecord,
  key,
  POLICY,
  published,
  retirement,
  retiringRecord,
  START,
  unreadable,
} from '../core/support.ts';
import { rekeyd } from '../support/command.ts';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { expectNothingOf } from '../support/hidden.ts';

async function schemaOf(name: string): Promise<object> {
  const path = import.meta.resolve('@cyclonedx/cyclonedx-library/package.json');
  return JSON.parse(await readFile(fileURLToPath(new URL(`res/schema/${name}.SNAPSHOT.schema.json`, path)), 'utf8'));
}

/** What is wrong with a document; null when nothing is. */
let check: (document: unknown) => string | null;
beforeAll(async () => {
  // The official schema is not written for the strict mode; formats are checked by hand below.
  const ajv = new Ajv({ strict: false, validateFormats: false });
  for (const name of ['spdx', 'jsf-0.82', 'cryptography-defs']) {
    ajv.addSchema(await schemaOf(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  }
  const validate = ajv.compile(await schemaOf('bom-1.6'));
  check = (document) => (validate(document) ? null : ajv.errorsText(validate.errors));
});

function bomOf(components: readonly Component[]) {
  return { bomFormat: 'CycloneDX', specVersion: '1.6', components };
}

const propertiesOf = ({ properties = [] }: Component) =>
  Object.fromEntries(properties.map(({ name, value }) => [name.replace('rekeyd:', ''), value]));

const materialOf = ({ cryptoProperties }: Component) => Object(cryptoProperties).relatedCryptoMaterialProperties;

test('the CBOM of a fleet follows the schema, tells each key once, and is the same when it is asked for again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP, KID_APP] });
  const clients = [
    await fleet.managed(PEM_APP),
    await fleet.managed(KID_APP, { alg: 'RS256' }),
    await fleet.foreign(KID_APP),
  ];
  const { resources, queues, config } = fleet;
  const context = { resources, queues, keks: keksOf(config), log: resources.log, lockMs: 30_000 };
  await discover({ v: 1, policy: KID_APP.slug, slot: 'by hand' }, context);
  const printed = await rekeyd(fleet, 'keys', 'cbom');
  const bom = JSON.parse(printed);
  expect(check(bom)).toBeNull();
  expect(check({ ...bom, components: [{ ...bom.components[0], type: 'key' }] })).toMatch(/type/);
  const refs: string[] = bom.components.map((one: Component) => one['bom-ref']);
  expect(new Set(refs).size).toBe(refs.length);
  for (const one of bom.components) {
    const { algorithmRef, securedBy, creationDate } = materialOf(one) ?? {};
    for (const ref of [algorithmRef, securedBy?.algorithmRef]) if (ref !== undefined) expect(refs).toContain(ref);
    if (creationDate !== undefined) expect(new Date(creationDate).toISOString()).toBe(creationDate);
  }
  for (const [index, { ref, key: own }] of clients.entries()) {
    const [one, ...others] = bom.components.filter((each: Component) => propertiesOf(each).client === ref);
    expect(others).toEqual([]);
    expect(one.name).toBe(own.kid);
    const isOurs = index < 2;
    expect(materialOf(one)).toMatchObject({
      type: isOurs ? 'private-key' : 'public-key',
      size: index === 1 ? 2048 : 256,
      algorithmRef: `crypto/algorithm/${index === 1 ? 'RS256' : 'ES256'}`,
      ...(isOurs && { state: 'active', securedBy: { mechanism: 'Software' } }),
    });
    expect(propertiesOf(one)).toMatchObject(
      isOurs ? { overdue: 'false', age_days: '0', enrolment: 'enrolled' } : { foreign: 'true' },
    );
  }
  for (const { key: own } of clients) expectNothingOf(own.privateKey, printed);

  const [again, one] = await Promise.all([
    rekeyd(fleet, 'keys', 'cbom'),
    rekeyd(fleet, 'keys', 'cbom', clients[0]?.ref ?? ''),
  ]);
  const { metadata: _, ...rest } = JSON.parse(again);
  expect(bom).toMatchObject(rest);
  expect(JSON.parse(one).serialNumber).not.toBe(bom.serialNumber);
  expect(JSON.parse(one).components).toHaveLength(3);
  await expect(rekeyd(fleet, 'keys', 'cbom', '185019846023/kid-app/99')).rejects.toThrow('is not in the CBOM');
});

test('states, ages and foreign keys of all kinds follow the schema', () => {
  const policy = { name: 'default', policy: POLICY };
  const old = retiringRecord(retirement('overlap'), {
    keys: [key('a', 'deactivated', { activatedAt: START }), key('b', 'active')],
  });
  const strange = [
    ...[unreadable('x'), published('f', 'ES384'), published('f', 'ES384', 'again'), published('')],
    entryOf({ kty: 'EC', crv: '__proto__', x: 'x-p', kid: 'p' }),
  ];
  const records = [old, heldRecord(), foundRecord(client({ keys: strange, alg: null }))];
  const components = records.flatMap((record) => keyComponents(record, policy, START + 46 * DAY + HOUR));
  expect(check(bomOf([...components, ...algorithmComponents(ALGORITHMS)]))).toBeNull();
  expect(components.map((one) => [one.name, materialOf(one).type, materialOf(one).state])).toEqual([
    ['a', 'private-key', 'deactivated'],
    ['b', 'private-key', 'active'],
    ['a', 'private-key', 'active'],
    ['x', 'public-key', undefined],
    ['f', 'public-key', undefined],
    ['unnamed', 'public-key', undefined],
    ['p', 'public-key', undefined],
  ]);
  const [deactivated, active, held] = components.map(propertiesOf);
  expect(active).toMatchObject({ age_days: '46', overdue: 'true', must_by: new Date(START + 45 * DAY).toISOString() });
  expect(deactivated).not.toHaveProperty('overdue');
  // No schedule rotates it, so nothing makes it overdue.
  expect(held).toMatchObject({ age_days: '46', overdue: 'false' });
  const compromised = {
    ...old,
    former: [{ id: active === undefined ? '' : key('b', 'active').id, kid: 'b', at: START, compromised: true }],
  };
  expect(materialOf(keyComponents(compromised, policy, START)[1] as Component).state).toBe('compromised');
});
