/**
 * The kinds of values in the config. Each turns what people write into what the code uses, and says on refusal what to write instead.
 * The descriptions and patterns end up in the JSON Schema.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { APP_PATH, isSegment, REFERENCE } from '../core/client.ts';
import { DURATION_PATTERN, parseDuration } from '../core/duration.ts';
import { isLoopback } from '../core/host.ts';
import { readRedisUrl } from './redis-url.ts';
import { Secret } from './secret.ts';
import { REFERENCE_PATTERN, readReference, type Sources } from './secrets.ts';

/** Registers `why` as a problem of the field. Its result is a mark for zod and must be returned at once. */
type Refuse = (why: string) => never;

interface About {
  readonly description: string;
  readonly pattern?: string;
}

/** The text of zod's own issues; `expected` completes "write …". */
function expecting(expected: string) {
  return (issue: { readonly input?: unknown }) => {
    if (issue.input === undefined) return `is missing: write ${expected}`;
    return `must be text${typeof issue.input === 'number' ? ', in quotes' : ''}: write ${expected}`;
  };
}

/** A setting that is written as text. */
export function text<T>(about: About, expected: string, parse: (value: string, refuse: Refuse) => T | Promise<T>) {
  return z
    .string({ error: expecting(expected) })
    .transform((value, context) =>
      parse(value, (message) => {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }),
    )
    .meta({ ...about });
}

/** What is written in place of what is no section. */
export const BELOW = 'its settings below it, indented, one "name: value" a line';

/**
 * Settings under a name; unknown ones are refused. The error text carries the known names to `findingsOf`.
 * @param expected completes "write …"
 */
export function section<S extends z.core.$ZodShape>(shape: S, expected = BELOW) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? Object.keys(shape).join(' ')
        : `${issue.input === undefined ? 'is missing' : 'is not a section'}: write ${expected}`,
  });
}

export function list<T extends z.ZodType>(item: T, what: string) {
  const error = (issue: { readonly input?: unknown }) =>
    `${issue.input === undefined ? 'is missing' : 'is not a list with entries'}: write at least one ${what}, each starting with "- "`;
  return z.array(item, { error }).min(1, { error });
}

export function choice<const T extends readonly [string, ...string[]]>(description: string, values: T) {
  return z.enum(values, { error: `is not one of the choices: write ${values.join(', ')}` }).describe(description);
}

export function flag(description: string) {
  return z.boolean({ error: 'is not a yes or no: write true or false' }).describe(description);
}

export function count(description: string, min: number, max: number) {
  const error = `is out of range: write a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).describe(description);
}

/** Beyond ten years BullMQ's arithmetic of delays ends, and so do dates. */
const LONGEST = '3650d';

/** Milliseconds. `most` is what a timer can wait for, where the setting ends in one: beyond 24 days it would fire at once. */
export function duration(
  description: string,
  { zero = false, most = LONGEST }: { readonly zero?: boolean; readonly most?: string } = {},
) {
  const expected = 'a number and a unit, such as 500ms, 30s, 10m, 6h or 30d';
  return text({ description, pattern: DURATION_PATTERN }, expected, (value, refuse) => {
    const ms = parseDuration(value);
    if (ms === null) return refuse(`is not a duration: write ${expected}`);
    if (ms > (parseDuration(most) ?? 0)) return refuse(`is too long: write at most ${most}`);
    return ms === 0 && !zero ? refuse(`must be longer than nothing: write ${expected}`) : ms;
  });
}

/** An identifier that is safe in URLs, file names, Redis keys and job ids ({@link isSegment}). */
export function name(description: string) {
  const expected = 'letters, digits, "_", "-", "." or "~"';
  return text({ description }, expected, (value, refuse) =>
    isSegment(value) ? value : refuse(`is not usable as a name: write ${expected}, at most 128, not starting with "."`),
  );
}

/** A name in Redis: short, and without a character that means something there. */
export function namespace(description: string) {
  const pattern = '^[a-z0-9-]{1,40}$';
  return text({ description, pattern }, 'a short name such as staging', (value, refuse) =>
    new RegExp(pattern).test(value) ? value : refuse('is not usable: write 1 to 40 small letters, digits or "-"'),
  );
}

/** An app, or a client: what a token, a certificate or a producer is restricted to. */
export function reach(description: string) {
  const expected = 'deployment/app-slug, or deployment/app-slug/oauth_client_id';
  const pattern = `${APP_PATH.source}|${REFERENCE.source}`;
  return text({ description, pattern }, expected, (value, refuse) =>
    APP_PATH.test(value) || REFERENCE.test(value) ? value : refuse(`is neither an app nor a client: write ${expected}`),
  );
}

/** Absolute. */
export function path(description: string, sources: Sources) {
  return text({ description }, 'a path', (value, refuse) =>
    value === '' || value.includes('\0') ? refuse('is not a path: write one') : resolve(sources.folder, value),
  );
}

/** A host name or address as it stands in a URL, with its port if it has one. */
export function host() {
  const expected = 'the host as it stands in the issuer, such as auth.example.com or localhost:8443';
  return text({ description: 'Host of an issuer.' }, expected, (value, refuse) =>
    URL.parse(`https://${value}`)?.host === value ? value : refuse(`is not a host: write ${expected}`),
  );
}

/** `host:port`, with an IPv6 host in brackets. Port 0 takes any free one. */
export function listenAddress(description: string) {
  const expected = 'host:port, such as 127.0.0.1:8080 or "[::1]:8080"';
  return text(
    { description },
    expected,
    (value, refuse) => parseAddress(value) ?? refuse(`is not an address to listen on: write ${expected}`),
  );
}

/** `host:port` of a server that runs, with an IPv6 host in brackets. */
export function serverAddress(description: string) {
  const expected = 'host:port, such as "redis-1.internal:6379" or "[fd00::1]:26379"';
  return text({ description }, expected, (value, refuse) => {
    const address = parseAddress(value);
    return address === null || address.port === 0
      ? refuse(`is not the address of a server: write ${expected}`)
      : address;
  });
}

/** `host:port`; null when it is not. */
export function parseAddress(value: string): { readonly host: string; readonly port: number } | null {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@]+)):([0-9]{1,5})$/.exec(value) ?? [];
  const host = bracketed ?? plain;
  return host === undefined || Number(port) > 65535 ? null : { host, port: Number(port) };
}

/** An http(s) URL without a slash at its end. `http:` only where nobody can listen in: on this machine. */
export function url(description: string, { only = 'any' }: { readonly only?: 'any' | 'https' | 'origin' } = {}) {
  const expected = 'a URL such as https://auth.example.com';
  return text({ description }, expected, (value, refuse) => {
    const parsed = URL.parse(value);
    if (parsed === null || !/^https?:$/.test(parsed.protocol))
      return refuse(`is not an http(s) URL: write ${expected}`);
    if (parsed.username !== '' || parsed.password !== '')
      return refuse('must not hold a user or password: write only host and path');
    if (parsed.search !== '' || parsed.hash !== '') return refuse('must not have "?" or "#": write only host and path');
    if (only === 'https' && parsed.protocol !== 'https:') return refuse('must be https: write https://');
    if (only === 'origin' && parsed.pathname !== '/')
      return refuse('must not have a path: write only scheme, host and port');
    if (parsed.protocol === 'http:' && !isLoopback(parsed.hostname)) {
      return refuse('uses http:// to another machine, which anybody between can read and change: write https://');
    }
    return parsed.href.replace(/\/+$/, '');
  });
}

export function secret(description: string, sources: Sources, decode: (value: string) => Secret | string) {
  return text(
    { description, pattern: REFERENCE_PATTERN },
    'a reference, env:NAME or file:PATH',
    async (value, refuse) => {
      const found = await readReference(value, sources);
      if ('problem' in found) return refuse(found.problem);
      const decoded = decode(found.text);
      return typeof decoded === 'string' ? refuse(decoded) : decoded;
    },
  );
}

export function plainSecret(value: string): Secret {
  return new Secret(value);
}

/** A secret that goes into an HTTP header. */
export function headerSecret(value: string): Secret | string {
  return /^[\x21-\x7e]+$/.test(value)
    ? new Secret(value)
    : 'leads to a value with blanks, line ends or non-ASCII characters in it: store the bare key there';
}

/** A key encryption key: 32 bytes. No message says to make a new one: what is sealed under the old one would be lost. */
export function kekSecret(value: string): Secret | string {
  const bytes = Buffer.from(value, 'base64url');
  if (/^[A-Za-z0-9_-]{43}$/.test(value) && bytes.length === 32) return new Secret(bytes);
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(value)) {
    return 'leads to base64, not base64url: write "-" for "+" and "_" for "/" there, and leave out the "=" at its end';
  }
  return 'does not lead to 32 bytes in base64url (43 characters): put back the value that this KEK was made with. What is encrypted under it opens with no other';
}

/** Unlike other secrets, a Redis URL without a password in it may also stand in the config itself. */
export function redisUrl(description: string, sources: Sources) {
  const expected =
    'env:NAME, file:PATH, or a URL without a password such as redis://127.0.0.1:6379 or unix:///run/redis.sock';
  return text({ description }, expected, async (value, refuse) => {
    if (isRedisUrl(value) && !mayHoldPassword(value)) return usable(value, refuse);
    const found = await readReference(value, sources);
    if ('problem' in found)
      return refuse(/^(env|file):/.test(value) ? found.problem : `cannot stand in the config: write ${expected}`);
    if (isRedisUrl(found.text)) return usable(found.text, refuse);
    return refuse('does not lead to a Redis URL: store redis://…, rediss://… or unix:///… there');
  });
}

function usable(url: string, refuse: Refuse): Secret {
  const read = readRedisUrl(url);
  return 'problem' in read ? refuse(`is a URL that cannot be used: ${read.problem}`) : new Secret(url);
}

function isRedisUrl(value: string): boolean {
  return /^(rediss?|unix):\/\//i.test(value);
}

function mayHoldPassword(value: string): boolean {
  return value.includes('@') || /[?&][^=]*(pass|auth)/i.test(value);
}
