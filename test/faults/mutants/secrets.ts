/** What no run of a process shows: memory that is not cleared, and files that a power cut may take. */
import type { Mutant } from './mutant.ts';
import { call, statementOf } from './syntax.ts';

const CLEARING = 'test/faults/unseen/clearing.test.ts';
const SYNCING = 'test/faults/unseen/syncing.test.ts';

export const secrets: readonly Mutant[] = [
  {
    name: 'keep-what-was-sealed',
    edits: [{ file: 'src/keys/sealed.ts', within: 'seal', find: statementOf(call('pkcs8.fill')), put: '' }],
    caught: { by: CLEARING, named: 'a private key that was sealed is cleared' },
  },
  {
    name: 'keep-what-was-opened',
    edits: [{ file: 'src/keys/sealed.ts', within: 'unseal', find: statementOf(call('plaintext.fill')), put: '' }],
    caught: { by: CLEARING, named: 'a private key that was opened is cleared' },
  },
  {
    name: 'keep-what-was-delivered',
    edits: [
      {
        file: 'src/deliver/thread.ts',
        within: 'replaceAndClear',
        find: statementOf(call('bytes.fill')),
        put: 'void bytes;',
      },
    ],
    caught: { by: CLEARING, named: 'the files of a set that was delivered are cleared' },
  },
  {
    name: 'keep-what-was-compared',
    edits: [{ file: 'src/files/durable.ts', within: 'isWritten', find: statementOf(call('present.fill')), put: '' }],
    caught: { by: CLEARING, named: 'what was read to compare a file is cleared' },
  },
  {
    name: 'no-sync-of-key-files',
    edits: [
      { file: 'src/files/durable.ts', within: 'writeDurably', find: statementOf(call('fsyncSync')), put: 'void file;' },
    ],
    caught: { by: SYNCING, named: 'key files are on disk before they are swapped in' },
  },
  {
    name: 'no-sync-of-key-folders',
    edits: [{ file: 'src/files/durable.ts', within: 'syncFolder', find: statementOf(call('fsyncSync')), put: '' }],
    caught: { by: SYNCING, named: 'the names of key files are on disk before and after they are swapped in' },
  },
];
