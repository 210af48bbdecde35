/** What is still to be done at which point, and who is to do it. */
import { PLACES } from '../points.ts';
import type { Chance } from '../random.ts';
import type { Deed, Sentence } from '../trouble/sentence.ts';

/** Steps that are taken only after some seconds in which nobody worked. */
const RARE = ['look'];

/** Between how many places of death it is decided by what comes first. */
const DEATHS = 4;

/** How many of the deeds that leave a worker alive each of them is given. */
const DEEDS = 8;

interface Item {
  readonly deed: Deed;
  readonly point: string;
}

const DEED_NAMES = ['kill', 'throw', 'delay', 'drop'] as const;

const nameOf = ({ deed, point }: Item) => `${deed} ${point}`;

const isOf = ({ point }: Item, steps: readonly string[]) => steps.some((step) => point.startsWith(`${step}:`));

const isRare = (item: Item) => isOf(item, RARE);

export class Docket {
  readonly #open = new Map<string, Item>();
  #lastAt = performance.now();
  #turn: 'all' | 'rare' = 'all';

  constructor() {
    const items = DEED_NAMES.flatMap((deed) => PLACES[deed].map((point) => ({ deed, point })));
    for (const item of items) this.#open.set(nameOf(item), item);
  }

  get open(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** Nothing is left that everybody's rotation leads to when nobody falls silent. */
  get onlyRare(): boolean {
    return [...this.#open.values()].every(isRare);
  }

  isOpen(step: string): boolean {
    return [...this.#open.values()].some(({ point }) => point.startsWith(`${step}:`));
  }

  done(deed: Deed, point: string): void {
    if (this.#open.delete(nameOf({ deed, point }))) this.#lastAt = performance.now();
  }

  /** How long ago the last one was done, or the turn began. */
  idleMs(): number {
    return performance.now() - this.#lastAt;
  }

  turnTo(turn: 'all' | 'rare'): void {
    this.#turn = turn;
    this.#lastAt = performance.now();
  }

  /** For one worker: where it dies, and a few things before that. While it is the turn of the rare ones, it dies wherever it gets first. */
  draw(lot: Chance, delaysMs: readonly number[]): readonly Sentence[] {
    const items = [...this.#open.values()];
    const deaths = items.filter(({ deed }) => deed === 'kill');
    const others = items.filter(({ deed }) => deed !== 'kill');
    const common = deaths.filter((item) => !isRare(item));
    const few = (from: readonly Item[], count: number) => from.filter(() => lot.next() * from.length < count);
    const drawn =
      this.#turn === 'rare'
        ? [...deaths.filter(isRare), ...others.filter(isRare).filter(() => lot.next() < 0.5)]
        : [...few(common, DEATHS), ...(common.length === 0 ? [] : [lot.pick(common)]), ...few(others, DEEDS)];
    return drawn.map((item) => ({ ...item, nth: 1, ms: lot.pick(delaysMs) }));
  }
}
