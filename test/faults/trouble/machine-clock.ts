/**
 * In a worker's process: what the machine believes the time to be. All code in the process reads it, that of packages included, as it would on
 * a machine whose clock is wrong. Timers go on as they do there: by a clock that never jumps.
 */
const RealDate = Date;

let offset = 0;

class WrongDate extends RealDate {
  constructor(...values: readonly unknown[]) {
    if (values.length === 0) super(WrongDate.now());
    else super(...(values as ConstructorParameters<DateConstructor>)); // whatever Date itself was given
  }

  static override now(): number {
    return RealDate.now() + offset;
  }
}

/** @param ms how far the clock is ahead of the real one from now on; negative: behind */
export function setMachineClock(ms: number): void {
  offset = ms;
  globalThis.Date = WrongDate as DateConstructor; // nobody here calls Date as a function
}

/** ms since the epoch on the clock that everything else in a scenario goes by. */
export function realNow(): number {
  return RealDate.now();
}
