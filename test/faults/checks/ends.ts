/** How everything stands once the dust has settled: store, server and key folder agree on one key, and that key works. */
import type { Emulator } from '../../emulator/server.ts';
import { ASSERTION_TYPE, post } from '../../emulator/testing.ts';
import type { Violation } from '../checker.ts';
import type { ClientEnd, Evidence } from '../evidence.ts';
import { KEK } from '../names.ts';
import { assertionOf, openSealed, privateKeyOf, sameMembers, thumbprintOf, thumbprintOfKey } from './keys.ts';

export async function endsWell({ ends, events }: Evidence, emulator: Emulator): Promise<readonly Violation[]> {
  const edited = new Set(events.flatMap((event) => (event.kind === 'edit' ? [event.ref] : [])));
  const found = await Promise.all(ends.map((end) => judgeEnd(end, edited.has(end.client.ref), emulator)));
  return found.flat();
}

async function judgeEnd(end: ClientEnd, isEdited: boolean, emulator: Emulator): Promise<Violation[]> {
  const { client, record, sealed, open } = end;
  const violations: Violation[] = [];
  const say = (rule: string, message: string) => violations.push({ rule, ref: client.ref, message });
  const active = record.keys.filter(({ state }) => state === 'active');
  const [only] = active;
  if (only === undefined || active.length > 1) {
    say('one_active', `${active.length} keys are active`);
    return violations;
  }
  if (record.halted !== null) say('halted', record.halted);
  if (open) say('open', 'is listed as unfinished, and is not');
  for (const { id, state, error } of record.history) {
    // Somebody who takes a new key away before it is proven has it taken back.
    const isAllowed = state === client.app.ends || (isEdited && state === 'rolled_back');
    if (!isAllowed) say('outcome', `rotation ${id} is ${state}: ${error}`);
  }
  for (const kid of sealed.keys())
    if (kid !== only.thumbprint) say('leftover', `the private half of ${kid} is still stored`);
  judgeServer(end, only.thumbprint, say);
  judgeFolder(end, only.thumbprint, say);
  await judgeKey(end, only, emulator, say);
  return violations;
}

type Say = (rule: string, message: string) => void;

function judgeServer({ client, server, served }: ClientEnd, active: string, say: Say): void {
  const kept = client.app.policy.foreign_keys === 'retire' ? [] : client.foreign;
  const published = served ?? server.keys;
  const kids = published.map(thumbprintOf);
  const wanted = [active, ...kept.map(thumbprintOf)];
  for (const kid of wanted) if (!kids.includes(kid)) say('unpublished', `${kid} is not published`);
  const allowed = [...wanted, ...client.visitors.map(thumbprintOf)];
  for (const kid of kids) if (!allowed.includes(kid)) say('forgotten_key', `${kid} is still published`);
  for (const key of kept) {
    const found = published.find((candidate) => thumbprintOf(candidate) === thumbprintOf(key));
    if (found !== undefined && !sameMembers(found, key))
      say('foreign_key', `a foreign key was changed: ${JSON.stringify(found)}`);
  }
}

function judgeFolder({ folder }: ClientEnd, active: string, say: Say): void {
  const current = folder.get('current.jwk.json');
  const kid = current === undefined ? 'nothing' : thumbprintOfKey(privateKeyOf(current));
  if (kid !== active) say('folder', `signers sign with ${kid}, and ${active} is active`);
  for (const name of ['next.jwk.json', 'previous.jwk.json'])
    if (folder.has(name)) say('folder', `${name} is still there`);
}

async function judgeKey(
  { client, sealed }: ClientEnd,
  { kid, thumbprint, alg }: { readonly kid: string; readonly thumbprint: string; readonly alg: string },
  emulator: Emulator,
  say: Say,
): Promise<void> {
  const jwe = sealed.get(thumbprint);
  if (jwe === undefined) return say('lost_key', `the private half of the active key ${thumbprint} is not in the store`);
  try {
    const key = await openSealed(jwe, KEK);
    if (thumbprintOfKey(key) !== thumbprint) return say('lost_key', `another key is sealed as ${thumbprint}`);
    const path = '/oauth/introspect';
    const { status, body } = await post(emulator, client.host, path, {
      token: 'made-up',
      client_id: client.clientId,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertionOf(key, alg, kid, client.clientId, `https://${client.host}${path}`),
    });
    if (status !== 200)
      say('refused', `the server refuses the active key ${thumbprint}: ${status} ${JSON.stringify(body)}`);
  } catch (error) {
    say('lost_key', `the private half of the active key ${thumbprint} does not open: ${String(error)}`);
  }
}
