/** `rekeyd keys cbom`: the present keys as a CycloneDX CBOM on stdout, page by page. Writes nothing to the store. */
import { hash } from 'node:crypto';
import packageFile from '../../../package.json' with { type: 'json' };
import { policyFor } from '../../config/lookup.ts';
import { algorithmComponents, keyComponents } from '../../core/cbom.ts';
import type { Algorithm } from '../../core/keys.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { type Globals, withResources } from '../open.ts';
import { beginJson, note, printElement, printJson } from '../output.ts';
import { type Select, selectionOf } from '../select.ts';
import { refPages } from '../status/survey.ts';

export interface CbomOptions {
  readonly app?: string;
  readonly policy?: string;
}

/** @returns 1 when a client that was named is not known */
export async function keysCbom(globals: Globals, named: readonly string[], options: CbomOptions): Promise<number> {
  return withResources(globals, async (resources) => {
    const { select } = selectionOf(named, options, resources.config);
    const { store } = resources;
    const [now, id, size] = await Promise.all([store.now(), store.id, store.auditSize()]);
    const about = { type: 'application', 'bom-ref': 'rekeyd', name: packageFile.name, version: packageFile.version };
    beginJson(
      {
        bomFormat: 'CycloneDX',
        specVersion: '1.6',
        // One inventory keeps its number; each change of a key has an audit entry, and so makes a later version of it.
        serialNumber: `urn:uuid:${uuidOf(JSON.stringify([id, select]))}`,
        version: Math.max(1, size),
        metadata: { timestamp: new Date(now).toISOString(), component: about },
      },
      'components',
    );
    const { algs, unknown } = await printKeys(select, now, resources);
    for (const component of algorithmComponents(algs)) printElement(component);
    printJson({});
    for (const ref of unknown) note(`${ref} is not known: it is not in the CBOM.`);
    return unknown.length === 0 ? 0 : 1;
  });
}

async function printKeys(select: Select | null, now: number, resources: Resources) {
  const algs = new Set<Algorithm>();
  const unknown: string[] = [];
  for await (const refs of refPages(select, resources)) {
    const page = await resources.store.loadMany(refs);
    if (select !== null && 'clients' in select) unknown.push(...refs.filter((ref) => !page.has(ref)));
    for (const [ref, { record }] of page) {
      const policy = { name: policyFor(resources.config, ref)?.name ?? null, policy: clientPolicy(resources, ref) };
      for (const { alg } of record.keys) algs.add(alg);
      for (const component of keyComponents(record, policy, now)) printElement(component);
    }
  }
  return { algs, unknown };
}

/** RFC 9562 section 5.8: in version 8 we choose the bits. */
function uuidOf(text: string): string {
  const hex = hash('sha256', text, 'hex');
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
