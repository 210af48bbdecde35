/** What the emulator's own tests share: a started emulator with one app of each kind, keys, assertions, and requests. */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { type JWK, SignJWT } from 'jose';
import { type Emulator, type EmulatorOptions, startEmulator } from './server.ts';
import { ASSERTION_TYPE } from './sign-in.ts';

export { ASSERTION_TYPE };

export const DEPLOYMENT = '185019846023';
export const API_KEY = 'test-api-key';
export const HOSTS = { app: 'wacht.example.com', 'pem-app': 'auth.example.com', 'kid-app': 'rfc.example.com' } as const;

/** A deployment with the apps `app` (as the real server), `pem-app` (first_pem) and `kid-app` (jwks_kid), and a key that is taken in both URL styles. */
export async function startTestEmulator(options?: EmulatorOptions): Promise<Emulator> {
  const emulator = await startEmulator(options);
  emulator.setApiKey(DEPLOYMENT, API_KEY);
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'app', fqdn: HOSTS.app });
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'pem-app', fqdn: HOSTS['pem-app'], selection: 'first_pem' });
  emulator.addApp({ deployment: DEPLOYMENT, slug: 'kid-app', fqdn: HOSTS['kid-app'], selection: 'jwks_kid' });
  return emulator;
}

export interface TestKey {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: JWK;
  readonly pem: string;
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

export function makePair(alg: string) {
  const namedCurve = CURVES[alg];
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve });
  return alg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** A key for `alg`; RSA pairs are slow to make, and one does for several algorithms. */
export function makeKey(alg: string, pair = makePair(alg)): TestKey {
  const { publicKey, privateKey } = pair;
  const kid = randomUUID();
  // node:crypto's type of an exported key leaves `kty` open; jose's wants it.
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg } as JWK;
  return { alg, kid, privateKey, jwk, pem: publicKey.export({ format: 'pem', type: 'spki' }).toString() };
}

/** The way rekeyd writes a key for both kinds of server. */
export function withPem(key: TestKey) {
  return { ...key.jwk, public_key_pem: key.pem };
}

/** Claims of an assertion that is accepted, in seconds from `now`. */
export function goodClaims(clientId: string, host: string, path: string, now = Math.floor(Date.now() / 1000)) {
  return {
    iss: clientId,
    sub: clientId,
    aud: `https://${host}${path}`,
    iat: now,
    exp: now + 60,
    jti: randomUUID(),
  };
}

export function sign(
  key: Pick<TestKey, 'alg' | 'privateKey'>,
  claims: object,
  header: { alg?: string; kid?: string } = {},
): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: key.alg, ...header }).sign(key.privateKey);
}

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export async function replyOf(response: Response): Promise<Reply> {
  const text = await response.text();
  const isJson = text !== '' && (response.headers.get('content-type')?.startsWith('application/json') ?? false);
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

/** One request to the management API; `path` starts after `/oauth/apps`. */
export async function manage(
  emulator: Emulator,
  method: string,
  path: string,
  { body, key = API_KEY, style = `/deployments/${DEPLOYMENT}` }: { body?: unknown; key?: string; style?: string } = {},
): Promise<Reply> {
  const response = await fetch(`${emulator.url}${style}/oauth/apps${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return replyOf(response);
}

/** Posts a form to a runtime endpoint. The members of `form` that are undefined are left out. */
export async function post(
  { url }: Pick<Emulator, 'url'>,
  host: string,
  path: string,
  form: Record<string, string | undefined>,
) {
  const present = Object.entries(form).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'x-forwarded-host': host },
    body: new URLSearchParams(present),
  });
  return replyOf(response);
}

/** A login at introspect with a made-up token. */
export function introspect(
  emulator: Pick<Emulator, 'url'>,
  host: string,
  clientId: string | undefined,
  assertion: string,
) {
  return post(emulator, host, '/oauth/introspect', {
    token: 'made-up',
    client_id: clientId,
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: assertion,
  });
}
