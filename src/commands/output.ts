/** What commands show: results on stdout, everything else on stderr, so that stdout can be piped into another program. */

/** A line of the result. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Before the same is shown anew. Elsewhere than on a terminal, a blank line does. */
export function clearScreen(): void {
  process.stdout.write(process.stdout.isTTY ? '\x1b[2J\x1b[H' : '\n');
}

/** The whole result as one JSON document. */
export function printJson(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

/** A line beside the result: progress, warnings, hints. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A line about one client, which it names once. */
export function noteAbout(client: string, message: string): void {
  note(message.includes(client) ? message : `${client}: ${message}`);
}

/** Columns as wide as their widest cell, under their names. Cells are one line each. */
export function printTable(headings: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  for (const line of lines)
    print(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}
