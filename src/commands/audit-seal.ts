/** What a person does to the seal on the audit log. */
import { beginSegment, rotateSealKey } from '../audit/by-hand.ts';
import { keksOf } from '../rotation/policy.ts';
import { author, type Globals, withResources } from './open.ts';
import { note, print, printJson } from './output.ts';

interface Options {
  readonly reason?: string;
  readonly json?: boolean;
}

export async function auditRotateKey(globals: Globals, { reason, json }: Options): Promise<number> {
  const cause = { ...author(), reason: reason ?? 'asked on the command line' };
  const { before, kid } = await withResources(globals, ({ store, config }) =>
    rotateSealKey(store, keksOf(config), cause),
  );
  if (json) printJson({ before, kid });
  else print(`Checkpoints are signed with key ${kid} from now on. Key ${before} has signed that, and is erased.`);
  return 0;
}

export async function auditNewSegment(globals: Globals, { reason, json }: Options): Promise<number> {
  const cause = { ...author(), reason: reason ?? '' };
  const segment = await withResources(globals, ({ store, config }) => beginSegment(store, keksOf(config), cause));
  if (json) printJson(segment);
  else print(`Entry ${segment.first} begins a segment with a chain of its own. Workers seal it within seconds.`);
  note(`Entries before it that were not sealed stay so. What made it necessary: ${segment.why}`);
  if (!segment.keepsKey) note('The signing key could not be used: the next checkpoint is signed with a new one.');
  return 0;
}
