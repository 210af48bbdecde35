/** The time and the keys of all samples. */
export const NOW = Date.parse('2026-11-27T03:12:04.000Z');

export const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];

export function iso(fromNow: number): string {
  return new Date(NOW + fromNow).toISOString();
}

export const OLD = 'xK3mQ9vT2nB7wY5cR8dF1gH6jL4pS0aZ-eU_iO2tN3k';
export const NEW = 'b7Yt4RzQ1mN8vC2xK6wJ9hG3fD5sA0pL_oI-uE7yT4r';
