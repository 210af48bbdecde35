/** A day's name: the start of each of the three HTTP date formats (RFC 9110 section 5.6.7), and of nothing else that `Date.parse` would take. */
const DAY = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/** A date in HTTP, in ms since the Unix epoch; null for text that is none. */
export function parseHttpDate(text: string): number | null {
  if (!DAY.test(text)) return null;
  // The asctime format names no zone and means GMT; Date.parse would take it for local time.
  const date = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(date) ? null : date;
}
