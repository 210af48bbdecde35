/** What shells complete: commands, options, and values that are a choice. The scripts ask `rekeyd complete -- WORD…` with each Tab. */
import { script } from '@bomb.sh/tab';
import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';
import { SHELLS } from './line-completion.ts';

/** The script on stdout, to be read by the shell. */
export function printScript(shell: (typeof SHELLS)[number]): void {
  script(shell, 'rekeyd', 'rekeyd');
}

/**
 * Prints what may come next, each with its description.
 * @param program the commands without those for completion, which the library adds
 * @param words what was typed after `rekeyd`; the last may be half a word, or empty
 */
export function complete(program: Command, words: readonly string[]): void {
  const root = tab(program, { completionCommandName: 'completion' });
  // The library knows one shell more, which nobody here has tried.
  root
    .command('completion', 'print the script that completes commands and options in a shell')
    .argument('shell', (add) => {
      for (const shell of SHELLS) add(shell, '');
    });
  root.parse([...words]);
}
