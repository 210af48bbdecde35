import { type WaitingRequest, waitingRequests } from '../../jobs/waiting.ts';
import { sealProblem } from '../audit/seal.ts';
import { loadConfig } from '../config/load.ts';
import { hasCode } from '../errors.ts';
import { keksOf } from '../rotation/policy.ts';
import { declareLoss } from '../store/declare.ts';
import { readFacts, readMarker, type StoreFacts, waysOn, whereNow, whyLost } from '../store/identity.ts';
import { author, type Globals } from './open.ts';
import { note, print, printJson } from './output.ts';
import { withQueues } from './queues.ts';
import { sealLine } from './seal-line.ts';
import { viewStore } from './view.ts';

/** Which store this is, and whether it is the one that was there before. Writes nothing. Ends with 1 when it is not. */
export async function storeStatus({ file, env }: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  const config = await loadConfig(file, env);
  const view = await viewStore(config);
  try {
    const [facts, marker] = [await readFacts(view.redis, view.store.keys), await readMarker(config.dataDir)];
    const problem = whyLost(marker, facts);
    const known = marker === null ? null : { id: marker.id, clients: marker.clients, entries: marker.size };
    const seal = await sealLine(view.store);
    const sealTrouble = await sealProblem(view.store, keksOf(config)).catch((error: unknown) => {
      // The rest can be told without it.
      if (hasCode(error, 'kms_unavailable')) return error;
      throw error;
    });
    if (json) {
      const { sealed, unsealed, kid } = seal;
      const audit = { sealed: sealed.seq, hash: sealed.hash, unsealed, kid, problem: sealTrouble?.message ?? null };
      printJson({ id: facts.id, clients: facts.clients, entries: facts.size, known, problem, audit });
    } else {
      print(contentOf(facts));
      if (facts.size > 0) print(`Its audit log: ${seal.line}.`);
      if (known === null) print('This data_dir knows no store yet.');
      else print(`This data_dir knows store ${known.id} with ${amounts(known.clients, known.entries)}, or more.`);
    }
    if (sealTrouble !== null) note(sealTrouble.message);
    if (problem === null) return sealTrouble === null ? 0 : 1;
    note(`The store ${problem}. ${waysOn(await whereNow(view.redis, marker, facts))}`);
    return 1;
  } finally {
    await view.close();
  }
}

function contentOf({ id, clients, size }: StoreFacts): string {
  if (id !== null) return `Store ${id} holds ${amounts(clients, size)}.`;
  if (clients + size === 0) return 'This namespace of Redis is empty: it holds no store.';
  return `The Redis holds a store without a name, with ${amounts(clients, size)}.`;
}

function amounts(clients: number, entries: number): string {
  return `${counted(clients, 'client', 'clients')} and ${counted(entries, 'audit entry', 'audit entries')}`;
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

export interface DeclareOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

/** Takes what is there as the truth. Keys that only the lost store held are gone: their clients have to be imported, or replaced. */
export async function storeDeclareLoss({ file, env }: Globals, { reason, json }: DeclareOptions): Promise<number> {
  const config = await loadConfig(file, env);
  const view = await viewStore(config);
  try {
    const marker = await readMarker(config.dataDir);
    const cause = { ...author(), reason: reason ?? 'declared on the command line' };
    // Read before the loss is declared: after that, workers take them.
    const requests = await withQueues({ config, redis: view.target, store: view.store }, waitingRequests);
    const id = await declareLoss(view.redis, view.store.keys, config.dataDir, marker, cause);
    if (json) printJson({ id, lost: marker?.id ?? null, requests });
    else print(`Store ${id} replaces store ${marker?.id}. Running workers take it up by themselves.`);
    note(
      'What is there is taken as the truth: clients that it does not know are found again. Import their keys from their key folders (`rekeyd keys import`).',
    );
    noteRequests(requests);
    return 0;
  } finally {
    await view.close();
  }
}

/** A restored queue may hold requests that were answered after the backup was made. */
function noteRequests(requests: readonly WaitingRequest[]): void {
  if (requests.length === 0) return;
  const [what, it] =
    requests.length === 1 ? ['1 request waits', 'it runs'] : [`${requests.length} requests wait`, 'they run'];
  note(`${what} in the queue: ${it} when a worker is connected, even if answered before in the lost store.`);
  for (const { id, reason, compromised } of requests) {
    note(`  request ${id}: ${reason ?? 'cannot be read, and will fail'}${compromised ? ' (compromised)' : ''}`);
  }
}
