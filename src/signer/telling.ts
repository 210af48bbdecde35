/** Tells an application of a problem that does not stop the signer: by its own callback, or else by a warning of the process. */
import { now } from './time.ts';

const TYPE = 'SignerWarning';

/** ms. A folder that cannot be read is told at each signature: a warning of the same kind is printed this often at most. */
const AGAIN_MS = 60_000;

/** Where the application gave no callback. Node prints what it is told on stderr. */
export function warnings(): (error: unknown) => void {
  const printed = new Map<string, number>();
  return (error) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const [at, last] = [now(), printed.get(code)];
    if (last !== undefined && Math.abs(at - last) < AGAIN_MS) return;
    printed.set(code, at);
    process.emitWarning(error instanceof Error ? error.message : String(error), { type: TYPE, code });
  };
}

/** A callback of the application that throws stops no sign-in, and ends no process. What it throws is a warning. */
export function harmless<E>(tell: (error: E) => void): (error: E) => void {
  return (error) => {
    try {
      tell(error);
    } catch (thrown) {
      process.emitWarning(`a callback of the signer has thrown: ${thrown}`, { type: TYPE });
    }
  };
}
