/** What the log says of a rotation: its events, and steps that fail. */
import type { Action } from '../src/core/action.ts';
import type { AuditType } from '../src/core/audit.ts';
import type { ClientRef } from '../src/core/client.ts';
import type { ClientRecord } from '../src/core/record.ts';
import { type Trouble, troublesSince } from '../src/core/trouble.ts';
import type { Change } from '../src/rotation/commit.ts';
import type { RotationPolicy } from '../src/rotation/policy.ts';
import type { Log } from '../src/rotation/resources.ts';

interface Told {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
}

/** What a person should hear of, and how loudly. */
const EVENTS: Partial<Record<AuditType, Told>> = {
  'key.activated': { level: 'info', message: 'the new key is proven and in use' },
  'rotation.completed': { level: 'info', message: 'the old key is gone: the rotation is finished' },
  'rotation.delayed': { level: 'error', message: 'signers still sign with the old key: both keys stay' },
  'rotation.failed': { level: 'error', message: 'the rotation failed' },
  'rotation.rolled_back': {
    level: 'error',
    message: 'the rotation was rolled back: the key from before is in use again',
  },
  'client.drifted': { level: 'warn', message: 'somebody changed the published keys: `rekeyd drift` says how' },
  'client.halted': { level: 'error', message: 'nothing more is done for this client until it is rotated on demand' },
};

const TROUBLES: Readonly<Record<Trouble['kind'], Told>> = {
  fails: { level: 'warn', message: 'a step failed: it is tried again' },
  used_up: {
    level: 'error',
    message: 'a step has failed as often as the policy has attempts: it is still tried again',
  },
  works: { level: 'info', message: 'what had failed works again' },
};

const EXPOSED = 'a key that may have leaked is not replaced yet: it is still tried';

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** Of one run. */
export interface Teller {
  onStep(action: Action, record: ClientRecord): void;
  onCommit(change: Change, before: ClientRecord): void;
}

export function teller(ref: ClientRef, policy: RotationPolicy, log: Log): Teller {
  /** The step that was taken last: the trouble that the next commit shows is its own. */
  let step: Action['do'] | null = null;

  function tellTrouble(trouble: Trouble, { rotation }: ClientRecord): void {
    const { kind, error } = trouble;
    const { level, message } = TROUBLES[kind];
    const isExposed = kind === 'used_up' && rotation?.compromised != null;
    const again = kind === 'works' ? {} : { failed: trouble.failed, next_try: timeOf(trouble.nextAt) };
    log[level]({ client: ref, rotation: rotation?.id, step, error, ...again }, isExposed ? EXPOSED : message);
  }

  return {
    onStep(action, record) {
      step = action.do;
      log.debug({ client: ref, rotation: record.rotation?.id, step }, 'step');
    },
    onCommit({ entries, record }, before) {
      for (const { type, client, rotation, data } of entries) {
        const told = EVENTS[type];
        if (told !== undefined) log[told.level]({ client, rotation, kid: data.kid, error: data.error }, told.message);
      }
      for (const trouble of troublesSince(before, record, policy)) tellTrouble(trouble, record);
    },
  };
}
