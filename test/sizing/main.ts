/** `npm exec -- node test/sizing/main.ts`: writes the table of docs/sizing.md anew. */
import { readFile, writeFile } from 'node:fs/promises';
import { withTable } from './table.ts';

const file = new URL('../../docs/sizing.md', import.meta.url);
await writeFile(file, withTable(await readFile(file, 'utf8')));
