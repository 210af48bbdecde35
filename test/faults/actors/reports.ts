/**
 * Signers whose reports somebody else carries to where rekeyd reads them, as a volume does that is copied now and then. Each report is written down before rekeyd
 * can see it, so the checker knows what could be known.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSigner } from '../../../src/signer/index.ts';
import type { History } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';

const EVERY_MS = 50;

/** A signer library looks for new keys every few seconds, and whenever something is signed. */
const SIGN_EVERY_MS = 250;

export interface Carrier {
  /** From now on nothing new is carried. */
  hold(): void;
  goOn(): void;
  stop(): void;
}

/** @param name what the signer is called in its reports */
export function carryReports(client: FaultClient, outbox: string, name: string, history: History): Carrier {
  const folder = join(client.folder, 'signers');
  let isHeld = false;
  let last = '';

  function carry(): void {
    const [file] = isHeld ? [] : readdirSync(outbox).filter((one) => one.endsWith('.json'));
    // rekeyd makes the folder with its first delivery.
    if (file === undefined || !existsSync(folder)) return;
    const text = readFileSync(join(outbox, file), 'utf8');
    if (text === last) return;
    const { kids, signing } = JSON.parse(text);
    history.note({ kind: 'report', ref: client.ref, name, kids, signing });
    last = text;
    writeFileSync(join(folder, `.${name}`), text);
    renameSync(join(folder, `.${name}`), join(folder, `${name}.json`));
  }

  const timer = setInterval(carry, EVERY_MS);
  return {
    hold() {
      isHeld = true;
    },
    goOn() {
      isHeld = false;
    },
    stop: () => clearInterval(timer),
  };
}

/** A second process of the application, which signs now and then and whose assertions nobody sees. Resolves with what ends it. */
export async function startSecondSigner({ folder, host }: FaultClient, outbox: string): Promise<() => Promise<void>> {
  mkdirSync(outbox, { recursive: true });
  const signer = await openSigner(folder, { reports: outbox });
  // A folder that cannot be read for a moment is read again.
  const sign = () => void signer.assertion({ audience: `https://${host}/oauth/token` }).catch(() => undefined);
  const timer = setInterval(sign, SIGN_EVERY_MS);
  return () => {
    clearInterval(timer);
    return signer.close();
  };
}
