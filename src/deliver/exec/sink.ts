/**
 * Keys for a program. It gets a JSON document on its standard input, with the files of a key folder and what names them, and has delivered them when it ends
 * with 0. It is run again with the same set until it does, so it must be able to do its work twice.
 */
import { access, constants, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ExecSinkConfig } from '../../config/sinks/model.ts';
import { formatDuration } from '../../core/duration.ts';
import { messageOf } from '../../errors.ts';
import { canBeReplacedIn } from '../../files/exposure.ts';
import { setDocument } from '../document.ts';
import { printable } from '../redact.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import { type Ended, run } from './run.ts';

export function execSink(config: ExecSinkConfig): Sink {
  const { program, user, group, timeoutMs } = config;
  const name = `exec ${program}`;
  return {
    name,
    placeOf: () => name,
    async deliver(contents) {
      const input = setDocument(contents);
      let ended: Ended;
      try {
        ended = await run({ ...config, input });
      } finally {
        input.fill(0);
      }
      const problem = problemOf(ended, contents, config);
      if (problem !== null) throw sinkFailed(name, problem, HINTS[ended.kind]);
    },
    // A program is not asked what it did with a set.
    sets: null,
    reports: null,
    async check() {
      const problem = (await whyUnusable(program)) ?? (await whyNotAs(user, group, timeoutMs));
      return problem === null ? null : sinkFailed(name, problem, HINTS.unstarted).message;
    },
    close() {},
  };
}

const HINTS: Readonly<Record<Ended['kind'], string>> = {
  ended: 'It is run again: see what keeps it from its work',
  timeout: 'See what it waits for, or raise timeout of this sink',
  unstarted: 'Check command, user and group of this sink',
};

function problemOf(ended: Ended, contents: SinkContents, { timeoutMs }: ExecSinkConfig): string | null {
  if (ended.kind === 'unstarted') return `it cannot be started (${whyUnstarted(ended)})`;
  if (ended.kind === 'ended' && ended.code === 0) return null;
  const shown = printable(ended.output, contents);
  const said =
    shown === null
      ? ', and printed a part of a private key, which is not repeated here'
      : shown === ''
        ? ''
        : ` (${shown})`;
  if (ended.kind === 'timeout') {
    const fate = ended.isKilled ? 'was killed' : 'goes on: rekeyd may not kill it';
    return `it did not end within ${formatDuration(timeoutMs)} and ${fate}${said}`;
  }
  return `it ended with ${ended.code === null ? ended.signal : ended.code}${said}`;
}

function whyUnstarted({ code, why }: Extract<Ended, { kind: 'unstarted' }>): string {
  return code === 'EPERM' ? `${why}: to run it as another user, rekeyd must run as root` : why;
}

async function whyUnusable(program: string): Promise<string | null> {
  try {
    await access(program, constants.X_OK);
  } catch (error) {
    return messageOf(error);
  }
  const folder = dirname(await realpath(program));
  return (await canBeReplacedIn(folder))
    ? `others than its owner can replace it in ${folder}, and would get the keys`
    : null;
}

/** Starts a program that does nothing, as that user: rekeyd may lack the right. */
async function whyNotAs(user: number | null, group: number | null, timeoutMs: number): Promise<string | null> {
  if (user === null && group === null) return null;
  const ended = await run({
    program: '/bin/sh',
    args: ['-c', ':'],
    user,
    group,
    env: {},
    timeoutMs,
    input: Buffer.alloc(0),
  });
  return ended.kind === 'unstarted' ? whyUnstarted(ended) : null;
}
