/** The Transit engine of HashiCorp Vault and OpenBao, by its HTTP API: `encrypt` and `decrypt`, with associated data. */
import type { VaultTransitConfig } from '../config/kek.ts';
import { members } from '../core/reply.ts';
import { messageOf } from '../errors.ts';
import type { Kms, KmsContext } from '../keys/kms.ts';
import { systemClock } from '../time.ts';
import { openVaultApi, type VaultApi, VaultError } from '../vault/api.ts';
import { openSession, type Session } from '../vault/session.ts';
import { foreign, unavailable } from './unavailable.ts';

type Operation = 'encrypt' | 'decrypt';

interface Connection {
  readonly api: VaultApi;
  readonly session: Session;
}

/** Connects at the first call. @param id of the KEK */
export function vaultTransit(id: string, config: VaultTransitConfig): Kms {
  const { url, mount, key, auth } = config;
  let opened: Connection | null = null;

  function connection(): Connection {
    if (opened === null) {
      const api = openVaultApi({ ...config, now: systemClock.now });
      // No timer renews the token, so a command or a config may end without a release. A call renews it first where that is due.
      opened = { api, session: openSession(api, auth, { renews: 'in_use' }) };
    }
    return opened;
  }

  /** @param secret of the input: a data key in clear; null: it has none */
  async function call(operation: Operation, body: Input, secret: string | null, member: string): Promise<string> {
    const { api, session } = connection();
    const asked = { method: 'POST', path: `${mount}/${operation}/${key}`, body, doing: DOING[operation] } as const;
    const secrets = secret === null ? [] : [secret];
    let answer: unknown;
    try {
      const { body: answered } = await session.withToken((token) => api.call({ ...asked, token, secrets }));
      answer = members(members(answered).data)[member];
    } catch (error) {
      throw refusal(error, operation);
    }
    if (typeof answer === 'string') return answer;
    throw unavailable(id, `Vault at ${url} answers without a ${member}, key ${key} of ${mount}`, LOOK);
  }

  function refusal(error: unknown, operation: Operation): Error {
    if (!(error instanceof VaultError)) {
      return unavailable(
        id,
        `Vault at ${url} cannot be reached (${messageOf(error)})`,
        'Look at Vault and the way to it.',
      );
    }
    const { status, told, hint, doing } = error;
    // Vault has no codes for these.
    const isForeign = /message authentication failed|invalid ciphertext|unable to decrypt/i.test(told);
    if (operation === 'decrypt' && status === 400 && isForeign) return foreign(id, told);
    const isLogin = !Object.values<string>(DOING).includes(doing);
    const [why, fix] = (isLogin ? undefined : REASONS[status]) ?? ['refuses', LOOK];
    const said = `${why} (${status}${told === '' ? '' : `: ${told}`})`;
    const place = isLogin ? doing : `key ${key} of ${mount}`;
    return unavailable(id, `Vault at ${url} ${said}, ${place}`, hint === null ? fix : `${hint}.`);
  }

  return {
    wrap(dataKey, context) {
      const plaintext = base64(dataKey);
      return call('encrypt', { plaintext, associated_data: associated(context) }, plaintext, 'ciphertext');
    },
    async unwrap(wrapped, context) {
      const input = { ciphertext: wrapped, associated_data: associated(context) };
      return Buffer.from(await call('decrypt', input, null, 'plaintext'), 'base64');
    },
    async release() {
      const ending = opened;
      opened = null;
      await ending?.session.release();
      await ending?.api.close();
    },
  };
}

type Input = Readonly<Record<string, string>>;

const DOING = { encrypt: 'wrapping a data key', decrypt: 'unwrapping a data key' } as const;

const LOOK = 'Look at Vault.';

const REASONS: Readonly<Record<number, readonly [why: string, fix: string]>> = {
  400: [
    'refuses',
    'Look whether the key exists, is not disabled by its minimum versions, and is an AEAD key such as aes256-gcm96.',
  ],
  403: [
    'refuses the token, or the token may not use the key',
    'Give rekeyd a token whose policy allows update on encrypt and decrypt of this key.',
  ],
  404: ['has no such engine or key', 'Correct mount and key under encryption.keks, or make the key.'],
  429: ['is asked too often', LOOK],
  503: ['is sealed, or stands by', LOOK],
};

/** The same text for the same context, whatever the order of its members. */
function associated(context: KmsContext): string {
  const sorted = Object.entries(context).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return base64(new TextEncoder().encode(JSON.stringify(sorted)));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
