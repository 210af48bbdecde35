const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A setting such as `400ms` or `3s`, in ms. */
export function durationMs(setting: unknown): number {
  const [whole, count, unit = ''] = /^(\d+)(ms|s|m|h|d)$/.exec(`${setting}`) ?? [];
  const ms = UNITS[unit];
  if (whole === undefined || ms === undefined) throw new Error(`the checker does not read the duration ${setting}`);
  return Number(count) * ms;
}
