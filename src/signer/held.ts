/** The keys that a signer holds: the last set of its folder that worked. */
import { SignerError } from './error.ts';
import { type KeySet, latestVersionOf, readKeySet, type SigningKey } from './folder.ts';
import { within } from './time.ts';

export interface HeldKeys {
  /** The last set that worked. */
  readonly set: KeySet;
  /**
   * Looks at the folder, and takes a new set from it.
   * @param isPatient waits longer for a folder that is slow to answer: without a newer set there is nothing to go on with
   * @throws SignerError; then the set stays
   */
  refresh(isPatient: boolean): Promise<void>;
}

/** A volume that hangs must not stop logins for longer than this, in ms. */
const PATIENCE_MS = 1_000;

/** Where there are no keys yet, or the ones that are held were refused. */
const LONG_PATIENCE_MS = 10_000;

/** @throws SignerError `folder_unreadable` */
export async function holdKeys(folder: string): Promise<HeldKeys> {
  const late = () => unreadable(folder, 'does not answer. Check the volume that it is on.');
  let set = await within(LONG_PATIENCE_MS, readKeySet(folder), late);
  /** The look that is under way. It holds a thread of Node's pool, so there is one at a time: signing needs a thread of it, too. */
  let looking: Promise<void> | null = null;
  /** Begins when that one has ended. */
  let following: Promise<void> | null = null;
  /** The look under way has taken longer than somebody waits for it. */
  let isLate = false;

  async function take(): Promise<void> {
    const read = await readKeySet(folder);
    if (read.clientId !== set.clientId) throw otherClient(folder, set.clientId, read.clientId);
    if (firstKey(read) === undefined) throw noKey(folder);
    set = read;
  }

  async function look(): Promise<void> {
    const version = await latestVersionOf(folder).catch((cause: unknown) => {
      throw unreadable(folder, 'cannot be looked at.', cause);
    });
    if (version !== set.version) await take();
  }

  /** A look that begins from now on: one that began before the caller asked may have found an older set. */
  function lookAnew(): Promise<void> {
    if (looking !== null) {
      following ??= looking
        .catch(() => {})
        .then(() => {
          following = null;
          return lookAnew();
        });
      return following;
    }
    looking = look().finally(() => {
      looking = null;
      isLate = false;
    });
    return looking;
  }

  return {
    get set() {
      return set;
    },
    async refresh(isPatient) {
      if (isLate && !isPatient) throw late();
      await within(isPatient ? LONG_PATIENCE_MS : PATIENCE_MS, lookAnew(), () => {
        isLate = looking !== null;
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
