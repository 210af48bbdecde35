/**
 * The recorded calls and what the real server answered, one JSON object a line in `exchanges.jsonl`, in the order of the calls.
 * Texts and objects in them stand for what each run makes anew: see {@link Script.expand}.
 */
import { readFileSync } from 'node:fs';

export interface Exchange extends Call {
  readonly name: string;
  readonly answer: Answer;
  /** Nobody recorded it: what the public source of the platform says. */
  readonly derived?: true;
}

/** One of `send`, `look`, `list` and `sign_in`. */
interface Call {
  /** Method and path. */
  readonly send?: string;
  /** With `send`: the name of a key (default `key`), `null` for none, or a whole Authorization header. */
  readonly as?: string | null;
  readonly body?: unknown;
  /** In place of `body`. */
  readonly text?: string;
  /** Content-Type; default that of the body, `null` for none. */
  readonly type?: string | null;
  readonly host?: string;
  /** The answer is a client that is called so from then on. */
  readonly label?: string;
  /** The client's row in the list. */
  readonly look?: string;
  /** The list of that app, and in it the order of the labelled clients. */
  readonly list?: string;
  /** A PATCH of client A that comes first. */
  readonly before?: unknown;
  readonly sign_in?: SignIn;
}

/** An assertion of client A, signed with `rsa1`, unless said otherwise. Members of claims, header and form that are null are left out. */
export interface SignIn {
  readonly client?: string;
  readonly key?: string;
  readonly alg?: string;
  /** In place of a key, for HMAC. */
  readonly secret?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** In place of the claims. */
  readonly payload?: string;
  /** In place of the right one. */
  readonly signature?: string;
  /** In place of all of these. */
  readonly assertion?: string;
  readonly form?: Readonly<Record<string, string | null>>;
  readonly path?: string;
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly type?: string;
}

interface Answer {
  readonly status?: number;
  /** The one error of the management API's form, with the status as its code. */
  readonly says?: string;
  /** The OAuth form; a 401 has its challenge. */
  readonly error?: string;
  readonly description?: string;
  /** A client: which one, and how it differs from {@link CLIENT}. */
  readonly row?: Readonly<Record<string, unknown>> & { readonly client: string };
  readonly order?: readonly string[];
  readonly members?: readonly string[];
  readonly body?: unknown;
}

const LINES = readFileSync(new URL('exchanges.jsonl', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n');

export const EXCHANGES: readonly Exchange[] = LINES.map((line) => JSON.parse(line));

/** What the clients in the recorded answers have in common. Recorded too, and not taken from the emulator's `BLANK`: a default that is wrong there has to show. */
export const CLIENT: object = JSON.parse(readFileSync(new URL('client.json', import.meta.url), 'utf8'));

/** What a stored JWK has, whatever was sent. */
export const JWK = Object.fromEntries(
  [
    'kty',
    'kid',
    'use',
    'key_ops',
    'alg',
    'n',
    'e',
    'crv',
    'x',
    'y',
    'k',
    'x5u',
    'x5c',
    'x5t',
    'x5t#S256',
    'public_key_pem',
  ].map((member) => [member, null]),
);
