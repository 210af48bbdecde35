/** Imported into a command: at its end it says on file descriptor 3 how much memory it held at most, in MiB. Nobody can ask that of a process that is gone. */
import { writeSync } from 'node:fs';
import { peakRssMiB } from './memory.ts';

process.on('exit', () => writeSync(3, String(peakRssMiB('self'))));
