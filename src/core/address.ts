/** Which IP addresses lead into a private network, to this machine, or nowhere: a program that others may send anywhere must not be sent there. */

/** Prefix and length. IANA IPv4 Special-Purpose Address Registry, multicast (224/4), reserved (240/4), and Azure's host agent, which hands out credentials. */
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];

/** Within 2000::/3, which is all that is assigned to global unicast: IANA IPv6 Special-Purpose Address Registry. First groups, and how many bits count. */
const NOT_PUBLIC_V6: readonly (readonly [readonly [number, number], number])[] = [
  [[0x2001, 0x0000], 23],
  [[0x2001, 0x0db8], 32],
  [[0x2002, 0x0000], 16],
  [[0x3fff, 0x0000], 20],
];

/** @param address IPv4 in dotted decimal, or IPv6 without brackets. What is neither counts as private. */
export function isPrivateAddress(address: string): boolean {
  const v4 = parseV4(address);
  if (v4 !== null) return isPrivateV4(v4);
  const groups = parseV6(address.replace(/%.*$/, ''));
  return groups === null || isPrivateV6(groups);
}

function isPrivateV4(address: number): boolean {
  return NOT_PUBLIC_V4.some(([prefix, bits]) => sameStart(address, parseV4(prefix) ?? 0, bits));
}

function isPrivateV6(groups: readonly number[]): boolean {
  const [first = 0, second = 0] = groups;
  const embedded = join(groups[6] ?? 0, groups[7] ?? 0);
  const isZero = (from: number, to: number) => groups.slice(from, to).every((group) => group === 0);
  // IPv4-mapped (::ffff:a.b.c.d), and the NAT64 of networks without IPv4 (64:ff9b::a.b.c.d): they lead where the IPv4 address does.
  if (isZero(0, 5) && groups[5] === 0xffff) return isPrivateV4(embedded);
  if (first === 0x64 && second === 0xff9b && isZero(2, 6)) return isPrivateV4(embedded);
  if (first >> 13 !== 1) return true;
  const start = join(first, second);
  return NOT_PUBLIC_V6.some(([[a, b], bits]) => sameStart(start, join(a, b), bits));
}

function join(high: number, low: number): number {
  return high * 0x10000 + low;
}

/** Of two 32-bit numbers. */
function sameStart(a: number, b: number, bits: number): boolean {
  const unit = 2 ** (32 - bits);
  return Math.floor(a / unit) === Math.floor(b / unit);
}

function parseV4(text: string): number | null {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return null;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** Eight groups of 16 bits; null when it is no IPv6 address (RFC 4291 section 2.2). */
function parseV6(text: string): readonly number[] | null {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const v4 = dotted === null ? null : parseV4(dotted[2] ?? '');
  if (dotted !== null && v4 === null) return null;
  const hex =
    v4 === null ? text : `${dotted?.[1]}${Math.floor(v4 / 0x10000).toString(16)}:${(v4 % 0x10000).toString(16)}`;
  const halves = hex.split('::');
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return groups.map((group) => Number.parseInt(group, 16));
}
