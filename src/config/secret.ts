/**
 * A secret that came from the environment or from a file. It cannot slip out by accident: as text, as JSON and in `util.inspect` it is
 * `[secret]`. Every place that needs the value says so with {@link Secret.reveal} or {@link Secret.revealBytes}.
 */
export class Secret {
  readonly #bytes: Uint8Array;

  /** Text is kept as UTF-8. Bytes are copied, so the caller may zero its own. */
  constructor(value: string | Uint8Array) {
    this.#bytes = typeof value === 'string' ? new TextEncoder().encode(value) : Uint8Array.from(value);
  }

  reveal(): string {
    return new TextDecoder().decode(this.#bytes);
  }

  /** A copy, which the caller may zero after use. */
  revealBytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** Whether both have the same value. */
  equals(other: Secret): boolean {
    return Buffer.compare(this.#bytes, other.#bytes) === 0;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  /** What `util.inspect`, and so `console.log`, shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}
