/**
 * Loaded before the command line (`--import`) to show that a search finds what is there: keeps the text of the file PLANTED in memory, and writes
 * a diagnostic report before rekeyd has had its say.
 */
import { readFileSync } from 'node:fs';

Object.assign(globalThis, { planted: [readFileSync(process.env.PLANTED ?? '', 'utf8')] });
process.report.writeReport('before.json');
