/** Whether this Node.js can run rekeyd. */

/** @param needed as `engines.node` in package.json: `>=22.19.0` */
export function whyTooOld(version: string, needed: string): string | null {
  const [have, least] = [partsOf(version), partsOf(needed)];
  const isOlder = have.major < least.major || (have.major === least.major && have.minor < least.minor);
  return isOlder ? `rekeyd needs Node.js ${shown(least)} or newer; this is ${shown(have)}.` : null;
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

function partsOf(text: string): Version {
  const [major = 0, minor = 0] = text.replace(/^\D+/, '').split('.').map(Number);
  return { major, minor };
}

function shown({ major, minor }: Version): string {
  return `${major}.${minor}`;
}
