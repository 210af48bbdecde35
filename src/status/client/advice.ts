/** What a person does about a client that needs one: a sentence or two, with the command. */
import { howToEnroll } from '../../core/enrolment.ts';
import { selectorOf } from '../../core/pause.ts';
import type { ClientRecord } from '../../core/record.ts';
import { displaced, howToReplace } from '../../core/state.ts';
import { WHILE_REFUSED } from '../../rotation/deployment.ts';
import type { ClientStatus } from '../model.ts';
import type { DriftView } from './drift.ts';

interface Case {
  readonly record: ClientRecord;
  readonly status: ClientStatus;
  readonly drift: DriftView;
  /** Why its deployment is paused; null when it is not. */
  readonly refused: string | null;
}

type Check = (about: Case) => string | null;

const compromised: Check = ({ status: { compromised, client } }) =>
  compromised
    ? `Its key was reported as compromised and still signs in. \`rekeyd rotate ${client} --compromised\` replaces it at once.`
    : null;

const halted: Check = ({ status: { halted, rotation, client } }) => {
  if (halted === null) return null;
  const again = rotation === null ? 'rotates it' : 'continues its rotation';
  return `Nothing is done for it until a person asks. Find out which other program changes it (\`rekeyd drift ${client}\` shows both documents). Then \`rekeyd rotate ${client}\` ${again}.`;
};

const refused: Check = ({ refused, status: { rotation, retiring } }) =>
  refused !== null && (rotation !== null || retiring.length > 0)
    ? `Nothing is sent to its deployment: ${refused}. ${WHILE_REFUSED}`
    : null;

const drifted: Check = ({ drift }) => drift.to_do;

const replacedByOthers: Check = ({ record }) => (displaced(record) === null ? null : `${howToReplace(record.ref)}.`);

const failing: Check = ({ status: { client, rotation, retiring, last_error: error, next_due: due } }) => {
  if (error === null) return null;
  if (rotation !== null) {
    const next = rotation.next_try === null ? '' : ` (next at ${rotation.next_try})`;
    return `rekeyd tries again by itself${next}. Mend what the error names. Or \`rekeyd abandon ${client}\` ends the rotation with the key that the server accepts.`;
  }
  if (retiring.some((old) => old.error !== null)) {
    return 'The new key is in use. rekeyd tries again by itself to take the old key away.';
  }
  const schedule = due === null ? '' : '; the schedule does so with its next tick';
  return `Mend what the error names. Then \`rekeyd rotate ${client}\` tries again at once${schedule}.`;
};

const missingSigners: Check = ({ status: { signers, rotation } }) => {
  const missing = signers?.missing ?? [];
  if (rotation === null || missing.length === 0) return null;
  return `These signers do not report the new key yet: ${missing.join(', ')}. Make them read their key folder, or restart them.`;
};

const notEnrolled: Check = ({ status: { enrolment, client, rotation } }) => {
  if (enrolment === 'enrolled') return null;
  const isOurs = enrolment === 'held' || rotation?.offered_until != null;
  if (isOurs) return `When its application reads its key folder: \`rekeyd enroll ${client}\`.`;
  // Meanwhile no key can be imported: the rotation offers a key of ours, or enrolls the client.
  return rotation === null ? howToEnroll(client) : null;
};

const withoutPolicy: Check = ({ status: { policy, client } }) =>
  policy === null
    ? `The config no longer takes care of it. Add its app to the config, or give the client up: \`rekeyd release ${client}\`.`
    : null;

const overdue: Check = ({ status: { overdue, paused, rotation, client } }) => {
  if (!overdue || rotation !== null) return null;
  const pause = paused === null ? '' : ` \`rekeyd resume ${selectorOf(paused)}\` lets its schedule rotate it.`;
  return `Its key is older than must_by. \`rekeyd rotate ${client}\` replaces it now.${pause}`;
};

const CHECKS: readonly Check[] = [
  compromised,
  halted,
  refused,
  drifted,
  replacedByOthers,
  missingSigners,
  failing,
  withoutPolicy,
  notEnrolled,
  overdue,
];

/** What to do about the most pressing thing; null: there is nothing to do. */
export function adviceOn(about: Case): string | null {
  for (const check of CHECKS) {
    const advice = check(about);
    if (advice !== null) return advice;
  }
  return null;
}
