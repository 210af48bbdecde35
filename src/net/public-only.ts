/**
 * Looks names up, and refuses those that lead into a private network. It is asked when a connection is made, and its answer is what is connected to: a name
 * that leads elsewhere a moment later (DNS rebinding) gains nothing.
 */
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isPrivateAddress } from '../core/address.ts';

/** @param lookup the system's when absent */
export function publicOnly(lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, done) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return done(error, '');
      const addresses = typeof found === 'string' ? [{ address: found, family: found.includes(':') ? 6 : 4 }] : found;
      const hidden = addresses.find(({ address }) => isPrivateAddress(address));
      const [first] = addresses;
      if (hidden !== undefined) return done(refusal(hostname, hidden.address), '');
      if (first === undefined) return done(new Error(`${hostname} has no address`), '');
      if (options.all) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };
}

function refusal(hostname: string, address: string): NodeJS.ErrnoException {
  return new Error(
    `${hostname} leads to ${address}, which is no public address: if that is meant, write allow_private: ["${hostname}"]`,
  );
}
