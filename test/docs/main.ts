/** `npm run docs`: writes the generated pages of docs/ anew. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pages } from './pages.ts';

const DOCS = join(import.meta.dirname, '../../docs');

await Promise.all(Object.entries(pages()).map(([name, text]) => writeFile(join(DOCS, name), text)));
