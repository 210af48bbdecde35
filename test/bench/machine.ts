/** What the figures were measured on. */
import { spawnSync } from 'node:child_process';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { redisKinds } from '../support/redis.ts';

export function describeMachine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    redis: spawnSync(`${redisKinds[0]}-server`, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? 'none',
    /** Above nothing at the start: something else runs, and the figures suffer. */
    loadBefore: Number(loadavg()[0]?.toFixed(2)),
  };
}
