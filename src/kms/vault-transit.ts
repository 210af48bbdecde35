/** The Transit engine of HashiCorp Vault and OpenBao, by its HTTP API: `encrypt` and `decrypt`, with associated data. */
import type { VaultTransitConfig } from '../config/kek.ts';
import { members, shortMessage } from '../core/reply.ts';
import type { Kms, KmsContext } from '../keys/kms.ts';
import { exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';
import { systemClock } from '../time.ts';
import { foreign, unavailable } from './unavailable.ts';

type Operation = 'encrypt' | 'decrypt';

const MOST_BYTES = 64 * 1024;

/** A connection for each call: there are few, and none is left open when a config goes. @param id of the KEK */
export function vaultTransit(id: string, config: VaultTransitConfig): Kms {
  const { url, mount, key, token, namespace, timeoutMs, route } = config;

  async function call(operation: Operation, input: Readonly<Record<string, string>>, answer: string): Promise<string> {
    const pool = openPool(url, { ...route, connections: 1, timeoutMs });
    try {
      const reply = await exchange(pool, {
        ...{ method: 'POST', path: `/v1/${mount}/${operation}/${key}`, body: JSON.stringify(input) },
        headers: {
          ...{ 'content-type': 'application/json', 'x-vault-token': token.reveal(), 'x-vault-request': 'true' },
          ...(namespace !== null && { 'x-vault-namespace': namespace }),
        },
        ...{ timeoutMs, maxBytes: MOST_BYTES, signal: undefined, now: systemClock.now },
      });
      if (reply.kind === 'lost') {
        throw unavailable(
          id,
          `Vault at ${url} cannot be reached (${reply.message})`,
          'Look at Vault and the way to it.',
        );
      }
      if (reply.status === 200) {
        const text = members(members(parsed(reply.body)).data)[answer];
        if (typeof text === 'string' && text !== '') return text;
      }
      throw refusal(reply.status, reply.body, operation);
    } finally {
      await pool.close();
    }
  }

  function refusal(status: number, body: string, operation: Operation): Error {
    const said = errorsIn(body);
    // Vault has no codes for these.
    const isForeign = /message authentication failed|invalid ciphertext|unable to decrypt/i.test(said);
    if (operation === 'decrypt' && status === 400 && isForeign) return foreign(id, said);
    const [why, fix] = REASONS[status] ?? ['does not do it', 'Look at Vault.'];
    const told = `${why} (${status}${said === '' ? '' : `: ${said}`})`;
    return unavailable(id, `Vault at ${url} ${told}, key ${key} of ${mount}`, fix);
  }

  return {
    wrap: (dataKey, context) =>
      call('encrypt', { plaintext: base64(dataKey), associated_data: associated(context) }, 'ciphertext'),
    async unwrap(wrapped, context) {
      const plaintext = await call(
        'decrypt',
        { ciphertext: wrapped, associated_data: associated(context) },
        'plaintext',
      );
      return Buffer.from(plaintext, 'base64');
    },
  };
}

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
  429: ['asks to be left alone', 'Raise its quota where this lasts.'],
  503: ['is sealed, or stands by', 'Unseal it.'],
};

/** The same text for the same context, whatever the order of its members. */
function associated(context: KmsContext): string {
  const sorted = Object.entries(context).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return base64(new TextEncoder().encode(JSON.stringify(sorted)));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function errorsIn(body: string): string {
  const { errors } = members(parsed(body));
  return Array.isArray(errors) ? shortMessage(errors.map(String).join('; ')) : '';
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
