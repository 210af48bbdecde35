/** A place in a JSON text, and how to go on from there. Words and positions of faults are serde_json's. */
import { isUtf8 } from 'node:buffer';
import { BYTE, isDigit, isSpace } from './bytes.ts';
import { decimal, JsonFault } from './fault.ts';

/** serde_json counts down from 128 and refuses what would need more. */
const MAX_DEPTH = 127;
/** `u` has a reader of its own. */
const ESCAPES: ReadonlySet<number> = new Set([...'"\\/bfnrt'].map((one) => one.charCodeAt(0)));

export class Cursor {
  readonly #text: Buffer;
  #depth = 0;
  index = 0;

  constructor(text: Uint8Array) {
    this.#text = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  }

  slice(start: number): string {
    return this.#text.toString('utf8', start, this.index);
  }

  /** First byte of the next value; white space is passed. */
  peekValue(): number {
    return this.#peek() ?? this.#syntax('EOF while parsing a value', 1);
  }

  /** A string; the cursor is at its opening quote. */
  string(): string {
    const start = this.index;
    const escaped = this.#passString('checked');
    if (!isUtf8(this.#text.subarray(start, this.index))) this.#syntax('invalid unicode code point');
    return escaped ? JSON.parse(this.slice(start)) : this.#text.toString('utf8', start + 1, this.index - 1);
  }

  /** `true`, `false` or `null`; the cursor is at its first byte, which is right. */
  word<T>(word: string, value: T): T {
    for (const letter of word) {
      const found = this.#text[this.index];
      if (found === undefined) this.#syntax('EOF while parsing a value');
      this.index += 1;
      if (found !== letter.charCodeAt(0)) this.#syntax('expected ident');
    }
    return value;
  }

  /** A number as it is written; the cursor is at its first byte. */
  number(): { readonly text: string; readonly whole: boolean } {
    const start = this.index;
    if (this.#text[this.index] === BYTE.minus) this.index += 1;
    const digits = this.#digits();
    if (digits === 0 || (digits > 1 && this.#text[this.index - digits] === BYTE.zero)) this.#syntax('invalid number');
    let whole = true;
    if (this.#text[this.index] === BYTE.point) {
      whole = false;
      this.index += 1;
      if (this.#digits() === 0) this.#syntax('invalid number', 1);
    }
    if (this.#text[this.index] === BYTE.e || this.#text[this.index] === BYTE.E) {
      whole = false;
      this.index += 1;
      if (this.#text[this.index] === BYTE.plus || this.#text[this.index] === BYTE.minus) this.index += 1;
      if (this.#digits() === 0) this.#syntax('invalid number');
    }
    return { text: this.slice(start), whole };
  }

  describeNumber(text: string): string {
    if (/^-?\d+$/.test(text)) return `integer \`${BigInt(text)}\``;
    if (!Number.isFinite(Number(text))) this.#syntax('number out of range');
    return `floating point \`${decimal(Number(text))}\``;
  }

  /** Passes the bracket or brace that the cursor is at. */
  enter(): void {
    this.index += 1;
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) this.#syntax('recursion limit exceeded');
  }

  /** Passes the closing bracket or brace that {@link hasItem} or {@link hasMember} found. */
  leave(): void {
    this.index += 1;
    this.#depth -= 1;
  }

  hasItem(first: boolean): boolean {
    const found = this.#peek() ?? this.#syntax('EOF while parsing a list', 1);
    if (found === BYTE.closeList) return false;
    if (first) return true;
    if (found !== BYTE.comma) this.#syntax('expected `,` or `]`', 1);
    this.index += 1;
    if (this.peekValue() === BYTE.closeList) this.#syntax('trailing comma', 1);
    return true;
  }

  /** The bracket after the last item that anybody wants. */
  endList(): void {
    const found = this.#peek() ?? this.#syntax('EOF while parsing a list', 1);
    if (found !== BYTE.closeList) this.#syntax(found === BYTE.comma ? 'trailing characters' : 'expected `,` or `]`', 1);
    this.leave();
  }

  /** When true, the cursor is at the quote of the member's name. */
  hasMember(first: boolean): boolean {
    let found = this.#peek() ?? this.#syntax('EOF while parsing an object', 1);
    if (found === BYTE.closeObject) return false;
    if (!first) {
      if (found !== BYTE.comma) this.#syntax('expected `,` or `}`', 1);
      this.index += 1;
      found = this.#peek() ?? this.#syntax('EOF while parsing a value', 1);
      if (found === BYTE.closeObject) this.#syntax('trailing comma', 1);
    }
    if (found !== BYTE.quote) this.#syntax('key must be a string', 1);
    return true;
  }

  colon(): void {
    const found = this.#peek() ?? this.#syntax('EOF while parsing an object', 1);
    if (found !== BYTE.colon) this.#syntax('expected `:`', 1);
    this.index += 1;
  }

  /** Passes a value of any kind and depth. */
  skip(): void {
    const open: number[] = [];
    do {
      const first = this.peekValue();
      if (first === BYTE.openList || first === BYTE.openObject) {
        this.index += 1;
        open.push(first);
        if (this.#goesOn(first, true)) continue;
        this.index += 1;
        open.pop();
      } else this.#skipScalar(first);
      for (let inner = open.at(-1); inner !== undefined && !this.#goesOn(inner, false); inner = open.at(-1)) {
        this.index += 1;
        open.pop();
      }
    } while (open.length > 0);
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.#peek() !== undefined) this.#syntax('trailing characters', 1);
  }

  /** The value at the cursor is not `expected`. */
  wrongType(expected: string): never {
    return this.refuse(`invalid type: ${this.#describe()}, expected ${expected}`);
  }

  expectedValue(): never {
    return this.#syntax('expected value', 1);
  }

  /** JSON, but not what is expected. */
  refuse(message: string): never {
    throw new JsonFault('data', `${message}${this.#position(this.index)}`);
  }

  #describe(): string {
    const first = this.peekValue();
    if (first === BYTE.n) return this.word('null', 'null');
    if (first === BYTE.t) return this.word('true', 'boolean `true`');
    if (first === BYTE.f) return this.word('false', 'boolean `false`');
    if (first === BYTE.quote) return `string ${JSON.stringify(this.string())}`;
    if (first === BYTE.openList) return 'sequence';
    if (first === BYTE.openObject) return 'map';
    if (first === BYTE.minus || isDigit(first)) return this.describeNumber(this.number().text);
    return this.expectedValue();
  }

  #skipScalar(first: number): void {
    if (first === BYTE.quote) this.#passString('unchecked');
    else if (first === BYTE.n) this.word('null', null);
    else if (first === BYTE.t) this.word('true', null);
    else if (first === BYTE.f) this.word('false', null);
    else if (first === BYTE.minus || isDigit(first)) this.number();
    else this.expectedValue();
  }

  /** Whether the list or object that `bracket` opened goes on; then the cursor is before its next value. */
  #goesOn(bracket: number, first: boolean): boolean {
    if (bracket === BYTE.openList) return this.hasItem(first);
    if (!this.hasMember(first)) return false;
    this.#passString('unchecked');
    this.colon();
    return true;
  }

  /** Whether it has escapes. What nobody reads may be no text at all: lone surrogates pass there. */
  #passString(surrogates: 'checked' | 'unchecked'): boolean {
    let escaped = false;
    this.index += 1;
    for (;;) {
      const byte = this.#text[this.index] ?? this.#syntax('EOF while parsing a string');
      this.index += 1;
      if (byte === BYTE.quote) return escaped;
      if (byte < BYTE.space) this.#syntax('control character (\\u0000-\\u001F) found while parsing a string');
      if (byte !== BYTE.backslash) continue;
      escaped = true;
      this.#passEscape(surrogates);
    }
  }

  #passEscape(surrogates: 'checked' | 'unchecked'): void {
    const letter = this.#text[this.index] ?? this.#syntax('EOF while parsing a string');
    this.index += 1;
    if (letter !== BYTE.u) {
      if (!ESCAPES.has(letter)) this.#syntax('invalid escape');
      return;
    }
    const unit = this.#hex();
    if (surrogates === 'unchecked' || unit < 0xd800 || unit > 0xdfff) return;
    if (unit >= 0xdc00) this.#syntax('lone leading surrogate in hex escape');
    if (this.#text[this.index] !== BYTE.backslash || this.#text[this.index + 1] !== BYTE.u) {
      this.index += 1;
      this.#syntax('unexpected end of hex escape');
    }
    this.index += 2;
    const second = this.#hex();
    if (second < 0xdc00 || second > 0xdfff) this.#syntax('lone leading surrogate in hex escape');
  }

  #hex(): number {
    const digits = this.#text.toString('latin1', this.index, this.index + 4);
    this.index = Math.min(this.index + 4, this.#text.length);
    if (digits.length < 4) this.#syntax('EOF while parsing a string');
    if (!/^[\da-f]{4}$/i.test(digits)) this.#syntax('invalid escape');
    return Number.parseInt(digits, 16);
  }

  #digits(): number {
    const start = this.index;
    while (isDigit(this.#text[this.index] ?? 0)) this.index += 1;
    return this.index - start;
  }

  #peek(): number | undefined {
    for (;;) {
      const byte = this.#text[this.index];
      if (byte === undefined || !isSpace(byte)) return byte;
      this.index += 1;
    }
  }

  /** `ahead`: the byte that was looked at, and not read, counts. */
  #syntax(message: string, ahead: 0 | 1 = 0): never {
    throw new JsonFault('syntax', `${message}${this.#position(Math.min(this.index + ahead, this.#text.length))}`);
  }

  #position(index: number): string {
    const before = this.#text.subarray(0, index);
    const lines = before.reduce((count, byte) => count + (byte === BYTE.newline ? 1 : 0), 1);
    return ` at line ${lines} column ${index - (before.lastIndexOf(BYTE.newline) + 1)}`;
  }
}
