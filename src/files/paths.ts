/** Ids as file names. */

/**
 * Percent-encoded (RFC 3986 section 2.1), the leading dots too: no id is "..", and none is a name that rekeyd uses for itself, since those begin with a
 * dot.
 */
export function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/^\.+/, (dots) => '%2E'.repeat(dots.length));
}
