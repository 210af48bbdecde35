/** What happens to a worker at one point of its work: named by the parent, carried out in the child. */

/** `drop`: the answer to what the worker does next is lost on its way back. `hold`: it stands still until it is told to go on. */
export type Deed = 'kill' | 'throw' | 'delay' | 'drop' | 'hold';

export interface Sentence {
  readonly point: string;
  /** Carried out when it comes to the point for the `nth` time, counted from 1. */
  readonly nth: number;
  readonly deed: Deed;
  /** How long a `delay` takes. */
  readonly ms?: number;
}

/** From a worker: it is about to do that. For a `drop` it waits until it is told that the answer will be lost, for a `hold` until it may go on. */
export interface Confession {
  readonly deed: Exclude<Deed, 'kill'>;
  readonly point: string;
  readonly ref: string;
}
