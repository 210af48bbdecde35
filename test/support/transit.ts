/** A Transit engine in the local Vault of {@link ../deliver/vault/server.ts}, from the API that HashiCorp publishes. Keys of type aes256-gcm96 with associated data. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Answer, errors, startVault, type Vault } from '../deliver/vault/server.ts';

/** `away`: connections are cut. The others answer as Vault does. */
export type TransitMood = 'well' | 'away' | 'sealed' | 'forbidden' | 'throttled' | 'nonsense';

export interface Transit {
  readonly url: string;
  /** Of the next calls. */
  mood: TransitMood;
  /** Calls until now, as `encrypt data` and the like. */
  readonly calls: string[];
  /** Makes a key, or takes it away. */
  readonly keys: Map<string, Buffer>;
  readonly vault: Vault;
  /** For the config: a key of the name `rekeyd`. */
  kek(id: string): object;
}

export const TRANSIT_TOKEN = 'hvs.a-token-of-some-length';

const MOODS: Readonly<Record<TransitMood, Answer | 'cut' | null>> = {
  well: null,
  away: 'cut',
  sealed: errors(503, 'Vault is sealed'),
  forbidden: errors(403, '1 error occurred:\n\t* permission denied\n\n'),
  throttled: errors(429, 'request path "transit/": rate limit quota exceeded'),
  nonsense: { status: 200, text: '<html>' },
};

/** Stops when the test ends. */
export async function startTransit(): Promise<Transit> {
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-transit-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, TRANSIT_TOKEN, { mode: 0o600 });
  const keys = new Map([['rekeyd', randomBytes(32)]]);
  const vault = await startVault();
  vault.addToken(TRANSIT_TOKEN);
  const transit: Transit = {
    url: vault.url,
    mood: 'well',
    calls: [],
    keys,
    vault,
    kek: (id) => ({ id, vault_transit: { url: vault.url, key: 'rekeyd', token: `file:${tokenFile}` } }),
  };
  vault.interfere = (path) => {
    const [, operation, name] = /^transit\/(encrypt|decrypt)\/(\w+)$/.exec(path) ?? [];
    if (operation !== undefined) transit.calls.push(`${operation} ${name}`);
    return MOODS[transit.mood];
  };
  vault.engines.set('transit', (path, body) => {
    const [operation = '', name = ''] = path.split('/');
    return answer(operation, keys.get(name), body as Record<string, string>); // as the API has it
  });
  return transit;
}

function answer(operation: string, key: Buffer | undefined, input: Readonly<Record<string, string>>): Answer {
  if (key === undefined) return errors(400, 'encryption key not found');
  const aad = Buffer.from(input.associated_data ?? '', 'base64');
  const done = (data: object): Answer => ({ status: 200, body: { data } });
  if (operation === 'encrypt') {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
    const text = Buffer.concat([cipher.update(Buffer.from(input.plaintext ?? '', 'base64')), cipher.final()]);
    const all = Buffer.concat([iv, text, cipher.getAuthTag()]).toString('base64');
    return done({ ciphertext: `vault:v1:${all}`, key_version: 1 });
  }
  const all = Buffer.from(/^vault:v1:(.*)$/.exec(input.ciphertext ?? '')?.[1] ?? '', 'base64');
  if (all.length < 28) return errors(400, 'invalid ciphertext: no prefix');
  const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, 12)).setAAD(aad);
  decipher.setAuthTag(all.subarray(-16));
  try {
    const text = Buffer.concat([decipher.update(all.subarray(12, -16)), decipher.final()]);
    return done({ plaintext: text.toString('base64') });
  } catch {
    return errors(400, 'cipher: message authentication failed');
  }
}
