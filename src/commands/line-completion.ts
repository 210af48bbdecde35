/** The commands for completion, which nobody types often. See {@link ./line.ts}. */
import { Argument, type Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** @param others a command line without these two */
export function addCompletion(program: Command, others: () => Command): void {
  program
    .command('completion')
    .description('print the script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'for which one').choices(SHELLS))
    .action(async (shell) => (await import('./completion.ts')).printScript(shell));
  program
    .command('complete', { hidden: true })
    .argument('[word...]')
    .action(async (words) => (await import('./completion.ts')).complete(others(), words));
}
