/**
 * Keys in HashiCorp Vault or OpenBao: one secret per client in a KV engine of version 2. Its members are the files of a key folder, by name, and
 * `rekeyd.json`, which says who delivered them. Each delivery is a version of its own. It destroys the versions before it: they hold keys that signers must
 * not have any more.
 */
import type { VaultSinkConfig } from '../../config/sinks/model.ts';
import { members, parseJson } from '../../core/reply.ts';
import type { Delivery } from '../../core/signers.ts';
import { messageOf, RekeydError } from '../../errors.ts';
import { encodeSegment } from '../../files/paths.ts';
import type { JsonAnswer } from '../../net/json-api.ts';
import { openVaultApi, VaultError } from '../../vault/api.ts';
import { openSession } from '../../vault/session.ts';
import { type Fence, fenceIn, fenceOf, refuseFenced } from '../fence.ts';
import { deliveryIn, keySetTexts, META } from '../key-set.ts';
import type { SinkTools } from '../open.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import { checkVault, expectVersions } from './check.ts';

/** The member that says who delivered the secret. */
const OWN = 'rekeyd.json';

/** So often another writer may be faster. */
const ATTEMPTS = 5;

/** The latest version of a secret. */
interface Present {
  /** 0: there is none. */
  readonly version: number;
  /** Null: it was deleted, or is not there. */
  readonly data: Partial<Record<string, unknown>> | null;
}

/** `since`: the first version that rekeyd wrote. What is older is somebody else's. */
type Mark = Fence & { readonly since: number };

export function vaultSink(config: VaultSinkConfig, { store, now }: SinkTools): Sink {
  const { url, mount, prefix, namespace, auth } = config;
  const api = openVaultApi({ ...config, now });
  const session = openSession(api, auth, { renews: 'always' });
  const name = `vault ${url}${namespace === null ? '' : ` ${namespace}`} ${mount}/${prefix}`;
  const pathOf = (ref: string) => `${prefix}/${ref.split('/').map(encodeSegment).join('/')}`;
  const placeOf = (ref: string) => `${name}/${ref}`;
  /** An engine of version 1 would take a secret, too, and show it under another path. */
  let isVersioned: Promise<void> | null = null;

  async function read(ref: string): Promise<Present> {
    const path = `${mount}/data/${pathOf(ref)}`;
    const { status, body } = await session.withToken((token) =>
      api.call({ method: 'GET', path, token, doing: 'reading the secret', expects: [404] }),
    );
    // Of one that was never there Vault answers 404 without `data`, of one that was deleted 404 with it.
    if (status === 404 && members(body).data === undefined) return { version: 0, data: null };
    const { data, metadata } = members(members(body).data);
    const version = versionIn(metadata);
    if (version === null) throw new Error(`Vault answers ${status} without a version, reading the secret`);
    const isThere = typeof data === 'object' && data !== null;
    return { version, data: isThere ? members(data) : null };
  }

  /** @returns the first version that is ours */
  async function expectOurs({ version, data }: Present, contents: SinkContents): Promise<number> {
    if (data === null) return version + 1;
    const mark = markIn(data);
    if (mark === null) {
      throw new VaultTaken('a secret is there that rekeyd did not make');
    }
    await refuseFenced(placeOf(contents.ref), mark, contents, store);
    return Math.min(mark.since, version);
  }

  /** @returns false when another writer was faster */
  async function write(contents: SinkContents): Promise<boolean> {
    const present = await read(contents.ref);
    const since = await expectOurs(present, contents);
    const mark: Mark = { ...fenceOf(contents, store), since };
    const data = { ...keySetTexts(contents), [OWN]: `${JSON.stringify(mark, null, 2)}\n` };
    const body = { options: { cas: present.version }, data };
    const path = `${mount}/data/${pathOf(contents.ref)}`;
    let answer: JsonAnswer;
    try {
      const call = { method: 'POST', path, body, doing: 'writing the secret' } as const;
      answer = await session.withToken((token) => api.call({ ...call, token }));
    } catch (error) {
      if (error instanceof VaultError && error.status === 400 && /check-and-set/.test(error.told)) return false;
      throw error;
    }
    // The key is published next: a success that wrote nothing would leave signers without it.
    const written = versionIn(members(answer.body).data);
    if (written !== present.version + 1) {
      throw new Error(`Vault answers ${answer.status}, and not that it wrote version ${present.version + 1}`);
    }
    await destroy(contents.ref, since, present.version);
    return true;
  }

  async function destroy(ref: string, first: number, last: number): Promise<void> {
    const from = Math.max(first, last - MOST_DESTROYED + 1);
    const versions = Array.from({ length: Math.max(0, last - from + 1) }, (_, index) => from + index);
    if (versions.length === 0) return;
    const call = { method: 'POST', path: `${mount}/destroy/${pathOf(ref)}`, body: { versions } } as const;
    const doing = 'destroying the versions before it';
    const { status } = await session.withToken((token) => api.call({ ...call, token, doing }));
    if (status !== 204) throw new Error(`Vault answers ${status}, and not 204 as it should, ${doing}`);
  }

  return {
    name,
    placeOf,
    async deliver(contents) {
      try {
        isVersioned ??= expectVersions(config, api, session);
        await isVersioned;
        for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
          if (await write(contents)) return;
        }
        throw new VaultTaken(`another writer changed the secret ${ATTEMPTS} times meanwhile (check-and-set)`);
      } catch (error) {
        isVersioned = null;
        throw failed(placeOf(contents.ref), error);
      }
    },
    sets: async () => async (ref) => {
      try {
        const { data } = await read(ref);
        return data === null || markIn(data)?.client !== ref ? null : deliveryOf(data);
      } catch (error) {
        throw failed(placeOf(ref), error);
      }
    },
    reports: null,
    async check() {
      try {
        await checkVault(config, api, session);
        return null;
      } catch (error) {
        return failed(name, error).message;
      }
    },
    close() {
      void session.release().finally(() => api.close());
    },
  };
}

/** Versions that one delivery destroys. Earlier deliveries destroyed the older ones, and Vault keeps ten unless it is told to keep more. */
const MOST_DESTROYED = 100;

class VaultTaken extends Error {}

function markIn(data: Partial<Record<string, unknown>>): Mark | null {
  const value = typeof data[OWN] === 'string' ? parseJson(data[OWN]) : undefined;
  const [fence, { since }] = [fenceIn(value), members(value)];
  return fence === null || !isVersion(since) ? null : { ...fence, since };
}

/** Null: it does not say which version. */
function versionIn(metadata: unknown): number | null {
  const { version } = members(metadata);
  return isVersion(version) ? version : null;
}

function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

function deliveryOf(data: Partial<Record<string, unknown>>): Delivery | null {
  const meta = data[META];
  return typeof meta === 'string' ? deliveryIn(meta) : null;
}

function failed(place: string, error: unknown): RekeydError {
  if (error instanceof RekeydError) return error;
  const hint = error instanceof VaultError ? hintFor(error) : error instanceof VaultTaken ? LEAVE_IT : CONNECT;
  return sinkFailed(place, messageOf(error), hint);
}

function hintFor({ status, hint }: VaultError): string {
  return hint ?? HINTS[status] ?? 'See the log of the server';
}

const HINTS: Readonly<Record<number, string>> = {
  400: 'Check mount, prefix and auth of this sink',
  403: 'Give the token of rekeyd a policy with create, read and update on data/ and update on destroy/, as docs/sinks.md shows, or log it in anew',
  404: 'Check url, mount and namespace of this sink',
};

const LEAVE_IT = 'Nobody else may write below the prefix of this sink: move that away, or set another prefix';
const CONNECT = 'Check url and ca of this sink, and that the server runs';
