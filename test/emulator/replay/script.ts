/** Puts the keys, clients and times of this run in the place of what stands for them in the recorded calls. */
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { ASSERTION_TYPE } from '../sign-in.ts';
import { CLIENT, type Exchange, JWK, type SignIn } from './exchange.ts';
import { keyOf, PEMS, privateJwk, publicJwk, signatureOf } from './keys.ts';

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const CHALLENGE = 'Basic realm="oauth", error="invalid_client"';

export class Script {
  /** The server's clock, in seconds since the epoch. */
  readonly now: number;
  /** `id:A`, `client_id:A` and `secret:A` of a client that is called A, and the names of API keys. */
  readonly #labels: Map<string, string>;

  constructor(now: number, keys: Readonly<Record<string, string>>) {
    this.now = now;
    this.#labels = new Map(Object.entries(keys));
  }

  /** Calls a client so, whatever the answer that shows it looks like. */
  label(name: string, shown: unknown): void {
    const members: Record<string, unknown> = Object(shown);
    for (const [what, member] of [
      ['id', members.id],
      ['client_id', members.client_id],
      ['secret', members.client_secret],
    ]) {
      this.#labels.set(`${what}:${name}`, String(member));
    }
  }

  /**
   * `<pem:rsa1>` and other forms of a key · `<id:A>`, `<client_id:A>`, `<secret:A>` of a client · `<now+60>` in seconds · `<x*3>`: xxx ·
   * `<basic:…>`: Basic credentials.
   */
  text(text: string): string {
    return text
      .replace(
        /<([a-z0-9_ ]+):(\w+)>/g,
        (all, form, name) => PEMS[form]?.(name) ?? this.#labels.get(`${form}:${name}`) ?? all,
      )
      .replace(/<now([+-][\d.]+)>/g, (_all, offset) => String(this.now + Number(offset)))
      .replace(/<(.)\*(\d+)>/g, (_all, letter, times) => letter.repeat(Number(times)))
      .replace(/<(\w+)>/g, (all, name) => this.#labels.get(name) ?? all)
      .replace(/<basic:([^<>]*)>/g, (_all, pair) => `Basic ${Buffer.from(pair).toString('base64')}`);
  }

  /**
   * Beside texts: `{"$key": "rsa1", …}` its public JWK with more members, `$private` with the private ones · `{"$now": 60}` seconds from now ·
   * `{"$times": 3, "of": …}` a list with `<i>` counted.
   */
  expand(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.expand(item));
    if (typeof value !== 'object' || value === null) return value;
    const { $key, $private, $now, $times, of, ...members } = value as Readonly<Record<string, unknown>>; // an object, and no list
    if (typeof $now === 'number') return this.now + $now;
    if (typeof $times === 'number') {
      const item = JSON.stringify(of);
      return Array.from({ length: $times }, (_, i) => this.expand(JSON.parse(item.replaceAll('<i>', String(i)))));
    }
    const key = typeof $key === 'string' ? publicJwk($key) : typeof $private === 'string' ? privateJwk($private) : {};
    return {
      ...key,
      ...Object.fromEntries(Object.entries(members).map(([name, member]) => [name, this.expand(member)])),
    };
  }

  /** What the call has to be answered with, in the form of `Seen`. */
  expected({ answer, sign_in }: Exchange): object {
    const { status, says, error, description, row, order, members, body } = answer;
    if (order !== undefined) return { order, members };
    if (status === undefined) return { body: this.#row(row) };
    const challenge = status === 401 && sign_in !== undefined ? CHALLENGE : null;
    const seen = { status, type: 'application/json', challenge };
    if (says !== undefined) return { ...seen, body: { errors: [{ message: says, code: status }] } };
    if (row !== undefined) return { ...seen, body: this.#row(row) };
    if (error === undefined) return { ...seen, body: wildcards(body) };
    return {
      ...seen,
      body: description === undefined ? { error } : { error, error_description: this.text(description) },
    };
  }

  assertion(signIn: SignIn, audience: string): string {
    const { client = 'A', key = 'rsa1', alg = 'RS256', secret, claims, header, payload, signature, assertion } = signIn;
    if (assertion !== undefined) return assertion;
    const id = this.text(`<client_id:${client}>`);
    const own = { iss: id, sub: id, aud: audience, iat: this.now, exp: this.now + 60, jti: randomUUID() };
    const head = JSON.stringify(withoutNull({ alg, typ: 'JWT', ...header }));
    const text = payload ?? JSON.stringify(withoutNull({ ...own, ...Object(this.expand(claims)) }));
    const signed = `${Buffer.from(head).toString('base64url')}.${Buffer.from(text).toString('base64url')}`;
    if (signature !== undefined) return `${signed}.${signature}`;
    const signer = secret === undefined ? keyOf(key) : this.text(secret);
    return `${signed}.${signatureOf(alg, signer, signed).toString('base64url')}`;
  }

  form(signIn: SignIn, audience: string): string {
    const own = {
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: this.assertion(signIn, audience),
      client_id: `<client_id:${signIn.client ?? 'A'}>`,
      token: 'made-up',
    };
    const members = Object.entries(withoutNull({ ...own, ...signIn.form }));
    return String(
      new URLSearchParams(members.map(([name, value]): [string, string] => [name, this.text(String(value))])),
    );
  }

  #row(row: Exchange['answer']['row']): object {
    const { client, jwks, ...members } = row ?? { client: '' };
    const ids = { id: `<id:${client}>`, client_id: `<client_id:${client}>` };
    const { keys } = Object(this.expand(jwks ?? { keys: [] })) as { readonly keys: readonly object[] }; // as the exchanges have it
    const stored = jwks === undefined ? null : { keys: keys.map((key) => ({ ...JWK, ...key })) };
    return wildcards({ ...CLIENT, ...Object(this.expand({ ...ids, ...members })), jwks: stored });
  }
}

/** `<time>` matches any time, `<some>` any list. */
function wildcards<T>(value: T): T {
  const text = JSON.stringify(value);
  return JSON.parse(text, (_name, member) => {
    if (member === '<time>') return expect.stringMatching(STAMP);
    return member === '<some>' ? expect.any(Array) : member;
  });
}

function withoutNull(members: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}
