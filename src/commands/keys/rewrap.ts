import { rewrapSeal } from '../../audit/by-hand.ts';
import type { ClientRef } from '../../core/client.ts';
import { hasCode } from '../../errors.ts';
import { openTokenBook } from '../../http/tokens.ts';
import type { Kek } from '../../keys/kek.ts';
import { keksIn, rewrapKey } from '../../keys/sealed.ts';
import { inParallel } from '../../parallel.ts';
import { keksOf } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { Store } from '../../store/store.ts';
import { author, type Globals, withResources } from '../open.ts';
import { note, print, printJson, printTable } from '../output.ts';

interface Failed {
  readonly client: ClientRef;
  readonly thumbprint: string;
  readonly code: string;
  readonly message: string;
}

interface Rewrapped {
  readonly rewrapped: number;
  /** Under the first KEK already. */
  readonly unchanged: number;
  /** Erased by another process meanwhile. */
  readonly gone: number;
  readonly failed: readonly Failed[];
}

/** How many clients' keys are re-encrypted at the same time. */
const LANES = 16;

const REASON = 're-encrypted on the command line';

/** Every sealed key goes under the first KEK. Those that cannot be opened are listed, and stay as they are. */
export async function keysRewrap(globals: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  return withResources(globals, async (resources) => {
    const counts = { rewrapped: 0, unchanged: 0, gone: 0 };
    const failed: Failed[] = [];
    const keks = keksOf(resources.config);
    await inParallel(await resources.store.clientRefs(), LANES, async (ref) => {
      for (const [thumbprint, jwe] of await resources.store.sealedHalves(ref)) {
        try {
          counts[await rewrapOne(resources.store, keks, ref, [thumbprint, jwe])] += 1;
        } catch (error) {
          if (!hasCode(error, 'kek_missing') && !hasCode(error, 'key_tampered')) throw error;
          failed.push({ client: ref, thumbprint, code: error.code, message: error.message });
        }
      }
    });
    const result = { ...counts, failed: failed.sort((a, b) => (a.client < b.client ? -1 : 1)) };
    if (json) printJson(result);
    else tellRewrapped(result, keks[0]?.id ?? '');
    const isSigned = await resignTokens(resources, keks);
    const isSealing = await rewrapSealing(resources, keks);
    return failed.length === 0 && isSigned && isSealing ? 0 : 1;
  });
}

/** The key that signs the audit log. False: it cannot be opened, and was left as it is. */
async function rewrapSealing({ store }: Resources, keks: readonly Kek[]): Promise<boolean> {
  try {
    if (await rewrapSeal(store, keks)) note(`The key that signs the audit log uses KEK ${keks[0]?.id ?? ''} now.`);
    return true;
  } catch (error) {
    if (!hasCode(error, 'kek_missing') && !hasCode(error, 'key_tampered')) throw error;
    note(error.message);
    return false;
  }
}

/** When its KEK goes, the list of HTTP tokens is signed by nobody. False: it cannot be read, and was left as it is. */
async function resignTokens({ store, config }: Resources, keks: readonly Kek[]): Promise<boolean> {
  try {
    const isNew = await openTokenBook({ store, keks, dataDir: config.dataDir }).resign({ ...author(), reason: REASON });
    if (isNew) note(`The HTTP tokens are signed with KEK ${keks[0]?.id ?? ''} now.`);
    return true;
  } catch (error) {
    if (!hasCode(error, 'kek_missing') && !hasCode(error, 'key_tampered')) throw error;
    note(error.message);
    return false;
  }
}

/** @param half thumbprint and JWE, as they were read */
export async function rewrapOne(
  store: Pick<Store, 'sealedHalf' | 'replaceSealed'>,
  keks: readonly Kek[],
  ref: ClientRef,
  [thumbprint, read]: readonly [string, string],
): Promise<'rewrapped' | 'unchanged' | 'gone'> {
  for (let jwe: string | null = read; jwe !== null; jwe = await store.sealedHalf(ref, thumbprint)) {
    const fresh = await rewrapKey(jwe, { ref, thumbprint }, keks);
    if (fresh === null) return 'unchanged';
    const data = { thumbprint, from: keksIn(jwe)[0] ?? null, to: keks[0]?.id ?? null };
    const entry = { type: 'keys.rewrapped', client: ref, rotation: null, ...author(), reason: REASON, data } as const;
    if (await store.replaceSealed(ref, { thumbprint, oldJwe: jwe, jwe: fresh }, [entry])) return 'rewrapped';
    // When another process was faster, its JWE may be under another KEK of its own config.
  }
  return 'gone';
}

function tellRewrapped({ rewrapped, unchanged, gone, failed }: Rewrapped, kek: string): void {
  const total = rewrapped + unchanged + failed.length;
  const keys = total === 1 ? '1 key' : `${total} keys`;
  const erased = gone === 0 ? '' : `, ${gone} were erased meanwhile`;
  if (rewrapped === 0 && failed.length === 0) print(`${keys} checked: all use KEK ${kek} already${erased}.`);
  else
    print(
      `${keys} checked: ${rewrapped} use KEK ${kek} now, ${unchanged} did already, ${failed.length} failed${erased}.`,
    );
  if (failed.length === 0) note('Once every worker runs with this config, other KEKs can be removed from it.');
  else
    printTable(
      ['CLIENT', 'THUMBPRINT', 'PROBLEM'],
      failed.map(({ client, thumbprint, message }) => [client, thumbprint, message]),
    );
}
