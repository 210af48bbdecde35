/** Reads a Redis URL, or says which part of it is wrong. No message repeats a part that may be a secret. */

/** Where a URL leads. `database` 0 is the one that a connection begins in. */
export type RedisAddress =
  | { readonly path: string; readonly database: number }
  | {
      readonly host: string;
      readonly port: number;
      readonly isTls: boolean;
      readonly database: number;
      readonly username: string | null;
      readonly password: string | null;
    };

const DEFAULT_PORT = 6379;

/** Thrown and caught in this file: the first part that is wrong. */
class WrongPart extends Error {}

function wrong(problem: string): never {
  throw new WrongPart(problem);
}

/** `problem` begins with the part that is wrong, and ends with what to write: "its password has …: write …". */
export function readRedisUrl(text: string): { readonly address: RedisAddress } | { readonly problem: string } {
  try {
    return { address: parse(text) };
  } catch (error) {
    if (error instanceof WrongPart) return { problem: error.message };
    throw error;
  }
}

function parse(text: string): RedisAddress {
  const [, scheme = '', rest = ''] = /^(rediss?|unix):\/\/(.*)$/is.exec(text) ?? [];
  if (scheme === '') wrong('it is not a Redis URL: write redis://…, rediss://… or unix:///path/of/the/socket');
  if (/\s/.test(rest)) wrong('it has a blank or a line end in it: in a password write %20 or %0A');
  if (rest.includes('#')) wrong('it has a # in it, where a URL ends: in a password write %23');
  return scheme.toLowerCase() === 'unix' ? socketAddress(rest) : serverAddress(rest, scheme.toLowerCase() === 'rediss');
}

function socketAddress(rest: string): RedisAddress {
  const [path = '', query = ''] = splitAt(rest, '?');
  if (!/^\/[^/]/.test(path)) wrong('its path is not absolute: write unix:///path/of/the/socket');
  return { path: decoded(path, 'path'), database: databaseOf('', query) };
}

function serverAddress(rest: string, isTls: boolean): RedisAddress {
  const authority = /^[^/?]*/.exec(rest)?.[0] ?? '';
  if (!authority.includes('@') && rest.includes('@'))
    wrong('its user or password has a / or ? in it: write %2F for / and %3F for ?');
  const at = authority.lastIndexOf('@');
  const login = loginOf(at === -1 ? null : authority.slice(0, at));
  const place = placeOf(authority.slice(at + 1));
  const [path = '', query = ''] = splitAt(rest.slice(authority.length), '?');
  return { ...place, ...login, isTls, database: databaseOf(path, query) };
}

function loginOf(userinfo: string | null): { readonly username: string | null; readonly password: string | null } {
  if (userinfo === null) return { username: null, password: null };
  const [user = '', password = ''] = splitAt(userinfo, ':');
  if (password === '')
    wrong('it names a user and no password: write user:password@, or username and password beside url');
  return { username: user === '' ? null : decoded(user, 'user name'), password: decoded(password, 'password') };
}

function placeOf(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/s.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  if (host === '') wrong('it names no host: write redis://host:6379');
  const number = port === undefined || port === '' ? DEFAULT_PORT : Number(port);
  if (!/^\d*$/.test(port ?? '') || number < 1 || number > 65_535)
    wrong('its port is not a number from 1 to 65535: write redis://host:6379');
  const read = URL.parse(`redis://${bracketed === undefined ? host : `[${host}]`}`);
  if (read === null || host.includes('%')) wrong('its host is not a name or an address: write redis://host:6379');
  return { host, port: number };
}

/** After the slash, or as the option `db`, which is the only way for a unix socket. */
function databaseOf(path: string, query: string): number {
  const [slashed, options] = [path.replace(/^\//, ''), new URLSearchParams(query)];
  for (const name of options.keys()) if (name !== 'db') wrong(unknownOption(name));
  const asked = [slashed, ...options.getAll('db')].filter((one) => one !== '');
  if (asked.length > 1) wrong('it names the database twice: write it once, as /2');
  const [index = '0'] = asked;
  if (!/^\d{1,9}$/.test(index)) wrong('its database, after the last /, is not a number: write its index, as /2');
  return Number(index);
}

function unknownOption(name: string): string {
  const shown = /^\w{1,32}$/.test(name) ? `the option ${name}` : 'an option';
  const where = /tls|ssl|cert|^ca$/i.test(name)
    ? 'write rediss:// and the section redis.tls'
    : /user|pass|auth/i.test(name)
      ? 'write user:password@ before the host'
      : 'leave it out; after the ? only db is known';
  return `it has ${shown} after its ?, which rekeyd does not know: ${where}`;
}

function decoded(text: string, part: string): string {
  if (/%(?![0-9a-f]{2})/i.test(text)) wrong(`its ${part} has a % without two hex digits behind it: write %25 for %`);
  try {
    return decodeURIComponent(text);
  } catch {
    return wrong(`its ${part} has codes (%…) that are not UTF-8: write %25 for a % that is meant`);
  }
}

function splitAt(text: string, mark: string): readonly string[] {
  const at = text.indexOf(mark);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
