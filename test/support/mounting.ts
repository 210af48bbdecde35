import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';

/** Whether this process may mount a file system; tried where nobody else sees it. */
export function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'rekeyd-test', tmpdir()], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
