import { RekeydError } from '../errors.ts';

/** `key_invalid`: what was given instead of a usable private key, and what to do. Neither may quote what was read. */
export function invalid(what: string, hint: string): RekeydError {
  return new RekeydError('key_invalid', `${what}. ${hint}.`);
}

/** A parser's own message may quote what it was given, so nothing of it goes on. */
export function parse<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw unreadable();
  }
}

function unreadable(): RekeydError {
  return invalid(
    'The private key cannot be read',
    'The file is damaged or of another kind; export the key again as PKCS#8 PEM',
  );
}

export function publicOnly(what = 'This is a public key only'): RekeydError {
  return invalid(what, 'Signing needs the private half; give that file');
}
