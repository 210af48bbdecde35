/** A Transit engine, from the API that HashiCorp publishes: no Vault can be had here. Keys of type aes256-gcm96 with associated data. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { listening } from './listening.ts';

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
  /** For the config: a key of the name `rekeyd`. */
  kek(id: string): object;
}

export const TRANSIT_TOKEN = 'hvs.a-token';

const MOODS: Readonly<Partial<Record<TransitMood, readonly [status: number, body: string]>>> = {
  sealed: [503, '{"errors":["Vault is sealed"]}'],
  forbidden: [403, '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'],
  throttled: [429, '{"errors":["request path \\"transit/\\": rate limit quota exceeded"]}'],
  nonsense: [200, '<html>'],
};

/** Stops when the test ends. */
export async function startTransit(): Promise<Transit> {
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-transit-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, TRANSIT_TOKEN, { mode: 0o600 });
  const keys = new Map([['rekeyd', randomBytes(32)]]);
  const calls: string[] = [];
  let mood: TransitMood = 'well';
  const server: Server = createServer(async (request, response) => {
    const [, operation = '', name = ''] = /^\/v1\/transit\/(encrypt|decrypt)\/(\w+)$/.exec(request.url ?? '') ?? [];
    calls.push(`${operation} ${name}`);
    if (mood === 'away') return void request.socket.destroy();
    const body = (await json(request)) as Record<string, string>; // what `fetch` of the adapter sends
    const [status, text] = MOODS[mood] ?? answer(operation, keys.get(name), body, request.headers['x-vault-token']);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  });
  const url = `http://127.0.0.1:${await listening(server)}`;
  return {
    url,
    calls,
    keys,
    get mood() {
      return mood;
    },
    set mood(next) {
      mood = next;
    },
    kek: (id) => ({ id, vault_transit: { url, key: 'rekeyd', token: `file:${tokenFile}` } }),
  };
}

function answer(
  operation: string,
  key: Buffer | undefined,
  input: Readonly<Record<string, string>>,
  token: unknown,
): readonly [status: number, body: string] {
  const failed = (message: string) => [400, JSON.stringify({ errors: [message] })] as const;
  if (token !== TRANSIT_TOKEN) return MOODS.forbidden ?? failed('');
  if (key === undefined) return failed('encryption key not found');
  const aad = Buffer.from(input.associated_data ?? '', 'base64');
  const done = (data: object) => [200, JSON.stringify({ data })] as const;
  if (operation === 'encrypt') {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
    const text = Buffer.concat([cipher.update(Buffer.from(input.plaintext ?? '', 'base64')), cipher.final()]);
    const all = Buffer.concat([iv, text, cipher.getAuthTag()]).toString('base64');
    return done({ ciphertext: `vault:v1:${all}`, key_version: 1 });
  }
  const all = Buffer.from(/^vault:v1:(.*)$/.exec(input.ciphertext ?? '')?.[1] ?? '', 'base64');
  if (all.length < 28) return failed('invalid ciphertext: no prefix');
  const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, 12)).setAAD(aad);
  decipher.setAuthTag(all.subarray(-16));
  try {
    const text = Buffer.concat([decipher.update(all.subarray(12, -16)), decipher.final()]);
    return done({ plaintext: text.toString('base64') });
  } catch {
    return failed('cipher: message authentication failed');
  }
}
