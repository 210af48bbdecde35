/** Base64 read as strictly as Rust's `base64` crate reads it, with its words for what is wrong. */
const URL_SYMBOL = /[A-Za-z0-9_-]/;

/** Says what is wrong with a text. */
export class Base64Fault extends Error {
  override readonly name = 'Base64Fault';
}

/** RFC 4648 section 5, without padding. @throws Base64Fault */
export function decodeUrl(text: string): Buffer {
  const bytes = Buffer.from(text);
  const symbols = bytes.toString('latin1');
  const last = symbols.length - (symbols.length % 4 || 4);
  for (const [offset, symbol] of [...symbols].entries()) {
    if (URL_SYMBOL.test(symbol)) continue;
    // Padding is looked for in the last group only; there it has to follow two symbols.
    if (symbol === '=' && offset >= last + 2 && /^=+$/.test(symbols.slice(offset)))
      throw new Base64Fault('Invalid padding');
    throw new Base64Fault(`Invalid symbol ${bytes[offset]}, offset ${offset}.`);
  }
  if (symbols.length % 4 === 1) throw new Base64Fault(`Invalid input length: ${symbols.length}`);
  const decoded = Buffer.from(symbols, 'base64url');
  if (decoded.toString('base64url') !== symbols) {
    const end = symbols.length - 1;
    throw new Base64Fault(`Invalid last symbol ${bytes[end]}, offset ${end}.`);
  }
  return decoded;
}

/** RFC 4648 section 4, with padding; null when it is none. */
export function decodeStandard(text: string): Buffer | null {
  const decoded = Buffer.from(text, 'base64');
  return decoded.toString('base64') === text ? decoded : null;
}
