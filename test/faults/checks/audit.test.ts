/** The audit log by itself, and beside the server's own log. */
import { makeKey } from '../../emulator/testing.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { type Case, drafts, hears, request } from './cases.ts';
import * as story from './story.ts';
import { added, changed, evidenceOf } from './story.ts';
import { documentOf, fresh, kidOf, old } from './subject.ts';

const good = story.rotation();
const stranger = makeKey('ES256');

const tampered = (change: (audit: Evidence['audit']) => Evidence['audit']) => {
  const evidence = evidenceOf(good);
  return { ...evidence, audit: change(evidence.audit) };
};

const CASES: readonly Case[] = [
  [
    'the log has a gap',
    tampered((audit) => audit.map((line) => ({ ...line, seq: line.seq + (line.seq > 3 ? 1 : 0) }))),
    'audit_gap',
  ],
  ['the log ends too early', evidenceOf(good, { auditSize: 99 }), 'audit_gap'],
  [
    'the log lost what was taken',
    tampered((audit) => audit.map((line) => (line.type === 'key.delivered' ? { ...line, draft: '{}' } : line))),
    'audit_lost',
  ],
  [
    'a PATCH is sent again without a word',
    evidenceOf(added(good, 'patch', { name: 'again', request: { body: documentOf(old, fresh), status: 200 } })),
    'unannounced',
  ],
  [
    'the log tells of an answer that was none',
    evidenceOf(changed(good, 'patch', request({ status: 500 }))),
    'audit_disagrees',
  ],
  [
    'the log tells of another document',
    evidenceOf(
      changed(
        good,
        'published',
        drafts((all) => all.map((draft) => ({ ...draft, data: { status: 200, kids: [kidOf(fresh)] } }))),
      ),
    ),
    'audit_disagrees',
  ],
  [
    'a rotation makes two keys',
    evidenceOf(
      changed(
        good,
        'generate',
        drafts((all) => [...all, { type: 'key.generated', data: { kid: kidOf(stranger) } }]),
      ),
    ),
    'second_key',
    'unlogged',
  ],
];

hears(CASES);
