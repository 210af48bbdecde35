import { resolve } from 'node:path';
import { parseReference } from '../core/client.ts';
import { keksOf } from '../rotation/policy.ts';
import { releaseClient } from '../rotation/release.ts';
import type { ChangeOptions } from './clients.ts';
import { caller, type Globals, withResources } from './open.ts';
import { note, print, printJson } from './output.ts';

export interface ReleaseOptions extends ChangeOptions {
  readonly to?: string;
}

/** Hands a client's key to its owner. From then on the client is found, and left alone. */
export async function release(globals: Globals, client: string, options: ReleaseOptions): Promise<number> {
  const ref = parseReference(client);
  const file = options.to ?? null;
  const cause = { ...caller(), reason: options.reason ?? 'released on the command line', request: null };
  return withResources(globals, async (resources) => {
    const { kid, alg } = await releaseClient(resources, keksOf(resources.config), { ref, file, cause });
    const where = file === null ? null : resolve(file);
    if (options.json) printJson({ client: ref, kid, alg, file: where });
    else print(`${ref} is released: its key ${kid} (${alg}) is yours${where === null ? '' : `, in ${where}`}.`);
    note(
      'Its private half is no longer in the store. Its key folder stays as it is, and rekeyd changes it no more: remove it when its application has the key elsewhere.',
    );
    return 0;
  });
}
