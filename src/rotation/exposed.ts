/** Which keys leaked, of whom: found by a key's name, by the KEK that it is encrypted under, or by the host that held it. */
import { policyFor } from '../config/lookup.ts';
import type { Config } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import type { ClientRecord } from '../core/record.ts';
import type { Sink } from '../deliver/sink.ts';
import { keksIn } from '../keys/sealed.ts';
import { inParallel, pagesOf } from '../parallel.ts';
import type { Store } from '../store/store.ts';
import { hearSigners } from './hearing.ts';
import { possibleOwners } from './owners.ts';

export type Leak = { readonly kid: string } | { readonly kek: string } | { readonly host: string };

export function isLeak(select: object): select is Leak {
  return 'kid' in select || 'kek' in select || 'host' in select;
}

/** By client: its keys that leaked. A key that is destroyed, or not ours, is among those of `kid`. */
export type Exposed = ReadonlyMap<ClientRef, readonly string[]>;

export interface Search {
  readonly exposed: Exposed;
  /** Why it is not known of some clients; a sentence for each. If they were left out, they would count as clients without signers. */
  readonly unread: readonly string[];
  /** How many clients were not searched, because the time was up. */
  readonly left: number;
}

export interface Sources {
  readonly config: Config;
  readonly store: Pick<Store, 'areOwnersNoted' | 'clientRefs' | 'loadMany' | 'ownersOf' | 'sealedHalves'>;
  readonly sinks: readonly Sink[];
}

/** Clients that are looked at at the same time. */
const LANES = 16;

/**
 * Looks through the clients of the config: for the name of a key only through those that may have it.
 * @param signal ends the search when it aborts. Absent: all clients are searched
 */
export async function exposedBy(leak: Leak, { config, store, sinks }: Sources, signal?: AbortSignal): Promise<Search> {
  const exposed = new Map<ClientRef, readonly string[]>();
  const unread: string[] = [];
  const possible = 'kid' in leak ? await possibleOwners(store, { name: leak.kid }) : await store.clientRefs();
  const refs = [...possible].filter((ref) => policyFor(config, ref) !== null);
  let looked = 0;
  for (const page of pagesOf(refs)) {
    if (signal?.aborted) break;
    looked += page.length;
    await inParallel(await store.loadMany(page), LANES, async ([ref, { record }]) => {
      const found = await exposedOf(leak, record, { store, sinks });
      if (typeof found === 'string') unread.push(found);
      else if (found.length > 0) exposed.set(ref, found);
    });
  }
  return { exposed, unread, left: refs.length - looked };
}

/** The keys of the client that leaked, or why that is not known. */
async function exposedOf(
  leak: Leak,
  record: ClientRecord,
  { store, sinks }: Omit<Sources, 'config'>,
): Promise<readonly string[] | string> {
  const { ref, keys } = record;
  if ('kid' in leak) return hasKey(record, leak.kid) ? [leak.kid] : [];
  if ('kek' in leak) {
    const under = [...(await store.sealedHalves(ref))].filter(([, jwe]) => keksIn(jwe).includes(leak.kek));
    const thumbprints = new Set(under.map(([thumbprint]) => thumbprint));
    return keys.filter(({ thumbprint }) => thumbprints.has(thumbprint)).map(({ kid }) => kid);
  }
  const signs = await isSignedOn(leak.host, record, sinks);
  if (typeof signs === 'string') return `It is not known whether ${ref} signs on ${leak.host}: ${signs}`;
  // An attacker on the host can read the whole folder, not only the keys that its signers named.
  return signs ? keys.map(({ kid }) => kid) : [];
}

/** A key that is gone counts too: who reports it is told that it is gone. */
function hasKey({ keys, former, server }: ClientRecord, kid: string): boolean {
  const shown = server.observed.client.keys;
  return [...keys, ...former].some((key) => key.kid === kid) || shown.some(({ jwk }) => jwk.kid === kid);
}

/** A host that was taken may have been switched off since: here a report counts however old it is. @returns a text where reports cannot be read: why */
async function isSignedOn(
  host: string,
  { ref, signers }: ClientRecord,
  sinks: readonly Sink[],
): Promise<boolean | string> {
  if ((signers.reported?.signers ?? []).some(({ name }) => hostOf(name) === host)) return true;
  const { reports, error } = await hearSigners(ref, sinks);
  return reports.some(({ name }) => hostOf(name) === host) || (error ?? false);
}

/** Reports are named `<host>-<pid>`. */
function hostOf(name: string): string {
  return name.replace(/-\d+$/, '');
}

/** What to say where no client is meant. */
export function nobodyHas(leak: Leak): string {
  if ('kid' in leak)
    return `no client has a key ${leak.kid}, or had one. \`rekeyd identify\` looks a key up by its file, too.`;
  if ('kek' in leak)
    return `no private key is encrypted under KEK ${leak.kek}, or was. \`rekeyd doctor\` lists the KEKs.`;
  return `no signer reported from host ${leak.host}. \`rekeyd status CLIENT\` shows the names of signers, <host>-<pid>.`;
}
