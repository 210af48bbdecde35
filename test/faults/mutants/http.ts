/** Callers of the HTTP API: calls that are carried out twice, or for somebody who may not ask; events that get lost; keys that are told of. */
import type { Mutant } from './mutant.ts';
import { call, conditionOf, declarationOf, identifier, literal, member, statementOf } from './syntax.ts';

const ASK = { file: 'src/http/ask.ts', within: 'ask' } as const;
const TOKENS = 'src/http/tokens.ts';
const TOKENS_TEST = 'test/http/tokens.test.ts';

export const http: readonly Mutant[] = [
  {
    name: 'idempotency-forgotten',
    edits: [
      { ...ASK, find: conditionOf(member('once.answer')), put: 'false' },
      { ...ASK, find: declarationOf('id'), put: `const id = \`http-\${randomUUID()}\`;` },
      { file: 'jobs/called.ts', within: 'otherOfKey', find: conditionOf(identifier('once')), put: 'true' },
    ],
    caught: { in: 'called', as: 'call_twice' },
  },
  {
    name: 'call-not-audited',
    edits: [{ file: 'jobs/called.ts', within: 'noteCall', find: statementOf(call('store.append')), put: '' }],
    caught: { in: 'called', as: 'call_unaudited' },
  },
  {
    name: 'caller-not-audited',
    edits: [
      {
        file: 'jobs/begin-asked.ts',
        within: 'begin',
        find: declarationOf('who'),
        put: (text) => text.replace('claim !== null &&', 'claim === null &&'),
      },
    ],
    caught: { in: 'called', as: 'call_unaudited' },
  },
  {
    name: 'revocation-forgotten',
    edits: [{ file: TOKENS, within: 'tokenIn', find: conditionOf(member('known.at')), put: 'known === null' }],
    caught: { in: 'called', as: 'let_in' },
  },
  {
    name: 'older-list-of-tokens-taken',
    edits: [{ file: TOKENS, within: 'read', find: conditionOf(member('list.serial')), put: 'false' }],
    caught: {
      by: TOKENS_TEST,
      named: 'that were revoked stay so where somebody puts the list from before back, also in a new process',
    },
  },
  {
    name: 'tokens-of-a-lost-store-taken',
    edits: [{ file: TOKENS, within: 'read', find: conditionOf(member('list.store')), put: 'false' }],
    caught: { by: TOKENS_TEST, named: 'of a store that was lost are none' },
  },
  {
    name: 'event-lost-after-cut',
    edits: [
      {
        file: 'src/http/routes/events.ts',
        within: 'handle',
        find: declarationOf('after'),
        put: (text) => text.replace('last,', 'last === 0 ? 0 : last + 1,'),
      },
    ],
    caught: { in: 'called', as: 'event_lost' },
  },
  {
    name: 'event-told-twice',
    edits: [{ file: 'src/http/events.ts', within: 'tell', find: conditionOf(member('entry.seq')), put: 'false' }],
    caught: {
      by: 'test/http/events.test.ts',
      named: 'that are written while somebody reads what was before are told once',
    },
  },
  {
    name: 'destroyed-leak-replaced',
    edits: [
      { file: 'src/core/leaked.ts', within: 'leakVerdict', find: conditionOf(literal('destroyed')), put: 'false' },
      { file: 'src/core/compromise.ts', within: 'replaceExposed', find: conditionOf(call('knows')), put: 'false' },
    ],
    caught: { in: 'leaked', as: 'call_for_nothing' },
  },
  {
    name: 'leaked-key-logged',
    edits: [
      {
        file: 'src/http/leaks.ts',
        within: 'answerLeak',
        find: statementOf(call('tell')),
        put: `const given = report.found.keys.map(({ privateKey }) => privateKey?.export({ type: 'pkcs8', format: 'pem' }));
  tell(items, { ...report, reason: String(given) }, context);`,
      },
    ],
    caught: { in: 'leaked', as: 'leak_kept' },
  },
];
