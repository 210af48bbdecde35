/** The keys that a signer holds: the last set of its folder that worked. */
import { SignerError } from './error.ts';
import { type KeySet, latestVersionOf, readKeySet, type SigningKey } from './folder.ts';
import { within } from './time.ts';

export interface HeldKeys {
  /** The last set that worked. */
  readonly set: KeySet;
  /** Looks at the folder, and takes a new set from it. @throws SignerError; then the set stays */
  refresh(): Promise<void>;
}

/** A volume that hangs must not stop logins for longer than this, in ms. */
const PATIENCE_MS = 1_000;

/** What opens a signer waits longer: it has no keys yet. */
const OPENING_MS = 10_000;

/** @throws SignerError `folder_unreadable` */
export async function holdKeys(folder: string): Promise<HeldKeys> {
  const late = () => unreadable(folder, 'does not answer. Check the volume that it is on.');
  let set = await within(OPENING_MS, readKeySet(folder), late);
  let reading: Promise<void> | null = null;

  async function take(): Promise<void> {
    const read = await readKeySet(folder);
    if (read.clientId !== set.clientId) throw otherClient(folder, set.clientId, read.clientId);
    if (firstKey(read) === undefined) throw noKey(folder);
    set = read;
  }

  /** @param version seen by the caller */
  async function reload(version: string): Promise<void> {
    if (reading !== null) {
      await reading.catch(() => {});
      if (set.version === version) return;
    }
    // One that began before the caller looked may have found an older set. One that began since has not, and is shared.
    reading ??= take().finally(() => {
      reading = null;
    });
    await reading;
  }

  async function look(): Promise<void> {
    const version = await latestVersionOf(folder).catch((cause: unknown) => {
      throw unreadable(folder, 'cannot be looked at.', cause);
    });
    if (version !== set.version) await reload(version);
  }

  /** Looks that take too long. Each of them holds a thread of Node's pool. */
  let stuck = 0;

  return {
    get set() {
      return set;
    },
    async refresh() {
      if (stuck > 0) throw late();
      let isLate = false;
      const looking = look().finally(() => {
        if (isLate) stuck -= 1;
      });
      await within(PATIENCE_MS, looking, () => {
        isLate = true;
        stuck += 1;
        return late();
      });
    },
  };
}

/** The key of a set that signs when nothing is known of the server. */
export function firstKey({ keys }: KeySet): SigningKey | undefined {
  return keys.find(({ role }) => role !== 'previous');
}

export function noKey(folder: string): SignerError {
  return new SignerError(
    'no_key',
    `The key folder ${folder} holds no key to sign with. See what "rekeyd status" says about this client.`,
  );
}

function unreadable(folder: string, what: string, cause?: unknown): SignerError {
  const message = `The key folder ${folder} ${what} Sign-ins go on with the keys that this process holds, if it has any.`;
  return new SignerError('folder_unreadable', message, { cause });
}

function otherClient(folder: string, held: string, found: string): SignerError {
  return new SignerError(
    'other_client',
    `The key folder ${folder} now holds the keys of the client ${found}, and this signer was opened for ${held}. Its keys are not used; put the folder of ${held} back, or open a signer for the other one.`,
  );
}
