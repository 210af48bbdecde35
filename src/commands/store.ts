import { loadConfig } from '../config/load.ts';
import { declareLoss } from '../store/declare.ts';
import { readFacts, readMarker, whyLost } from '../store/identity.ts';
import { actor, type Globals } from './open.ts';
import { note, print, printJson } from './output.ts';
import { viewStore } from './view.ts';

/** Which store this is, and whether it is the one that was there before. Writes nothing. Ends with 1 when it is not. */
export async function storeStatus({ file, env }: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  const config = await loadConfig(file, env);
  const view = await viewStore(config);
  try {
    const [facts, marker] = [await readFacts(view.redis), await readMarker(config.dataDir)];
    const problem = whyLost(marker, facts);
    const known = marker === null ? null : { id: marker.id, clients: marker.clients, entries: marker.size };
    if (json) printJson({ id: facts.id, clients: facts.clients, entries: facts.size, known, problem });
    else {
      print(
        `The store ${facts.id ?? '(without a name yet)'} holds ${facts.clients} clients and ${facts.size} audit entries.`,
      );
      if (known === null) print('This data_dir knows no store yet.');
      else
        print(
          `This data_dir knows the store ${known.id}, with at least ${known.clients} clients and ${known.entries} entries.`,
        );
    }
    if (problem === null) return 0;
    note(
      `The store ${problem}. Restore the backup of Redis, or go on with what is there: \`rekeyd store declare-loss\`.`,
    );
    return 1;
  } finally {
    await view.close();
  }
}

export interface DeclareOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

/** Goes on after a store was lost. Keys that only the lost store held are gone: their clients have to be imported, or replaced. */
export async function storeDeclareLoss({ file, env }: Globals, { reason, json }: DeclareOptions): Promise<number> {
  const config = await loadConfig(file, env);
  const view = await viewStore(config);
  try {
    const marker = await readMarker(config.dataDir);
    const cause = { actor: actor(), reason: reason ?? 'declared on the command line' };
    const id = await declareLoss(view.redis, config.dataDir, marker, cause);
    if (json) printJson({ id, lost: marker?.id ?? null });
    else print(`The store ${id} goes on for ${marker?.id}. Workers take it up by themselves.`);
    note(
      'Clients whose keys it does not hold are found again: import their keys from their key folders (`rekeyd keys import`).',
    );
    return 0;
  } finally {
    await view.close();
  }
}
