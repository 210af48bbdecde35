/** The memory of a process as Linux counts it. */
import { readFileSync } from 'node:fs';

/** The most that it ever held at once, in MiB. @throws where there is no `/proc` */
export function peakRssMiB(pid: number | 'self'): number {
  const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
