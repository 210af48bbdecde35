import { messageOf } from '../../errors.ts';

/** One thing that was looked at. `fix` says what to do; beside `ok` it is advice. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly fix: string | null;
  /** Redis or the API did not answer. */
  readonly unreachable?: true;
}

export function fine(name: string, detail: string): Check {
  return { name, ok: true, detail, fix: null };
}

export function advice(name: string, detail: string, fix: string): Check {
  return { name, ok: true, detail, fix };
}

export function wrong(name: string, detail: string, fix: string): Check {
  return { name, ok: false, detail, fix };
}

/** A check that itself fails is a finding, and no reason to leave the others out. */
export async function looking(
  name: string,
  fix: string,
  look: () => Promise<Check | readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    return [await look()].flat();
  } catch (error) {
    return [wrong(name, messageOf(error), fix)];
  }
}
