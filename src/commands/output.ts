/** What commands show: results on stdout, everything else on stderr, so that stdout can be piped into another program. */
import { monotonic, untilAborted } from '../time.ts';
import type { Screen } from './progress.ts';

/** A line of the result. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A line of a result without an end. Waits while its reader is slow, so that lines do not pile up here. */
export async function printInTime(line: string, signal: AbortSignal): Promise<void> {
  if (process.stdout.write(`${line}\n`)) return;
  await untilAborted(new Promise((resolve) => process.stdout.once('drain', resolve)), signal);
}

/** Where a screen is painted again and again, and its size; null: no terminal. */
export interface Canvas {
  readonly size: { readonly rows: number; readonly columns: number } | null;
  write(text: string): void;
}

export function stdoutCanvas(
  stdout: Pick<typeof process.stdout, 'isTTY' | 'rows' | 'columns'> = process.stdout,
): Canvas {
  const { isTTY, rows, columns } = stdout;
  // Some terminals, such as those of containers, do not say how large they are: then both are 0.
  return {
    size: isTTY ? { rows: rows || 24, columns: columns || 80 } : null,
    write: (text) => void process.stdout.write(text),
  };
}

/**
 * Overwrites the screen line by line and erases only the rest, so that nothing flickers. Lines that do not fit are cut. Where there is no terminal, prints
 * the lines and a blank line.
 */
export function repaint(lines: readonly string[], { size, write }: Canvas): void {
  if (size === null) {
    write(`${lines.join('\n')}\n\n`);
    return;
  }
  const fitting = lines.slice(0, Math.max(1, size.rows - 1)).map((line) => fitted(line, size.columns));
  write(`\x1b[H${fitting.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
}

/** Replaces control characters: servers and people write names and reasons, and must not control the terminal. */
export function plain(line: string): string {
  return line.replace(/\p{Cc}/gu, ' ');
}

function fitted(line: string, columns: number): string {
  const characters = [...line];
  return characters.length <= columns ? line : `${characters.slice(0, Math.max(0, columns - 1)).join('')}…`;
}

/** Lines of a screen that what stands above and below a list needs. */
const AROUND = 10;

/** How many lines a list may have so that the summary above it stays in sight. Elsewhere than on a terminal, any number: a program reads it. */
export function screenful({ isTTY, rows = 24 }: Partial<typeof process.stdout> = process.stdout): number {
  return isTTY ? Math.max(AROUND, rows - AROUND) : Number.POSITIVE_INFINITY;
}

/** For progress: beside the result. */
export function stderrScreen(): Screen {
  const { isTTY, columns } = process.stderr;
  return { columns: isTTY ? columns : null, write: (text) => void process.stderr.write(text), now: monotonic };
}

/** A list on stdout that has not ended yet; `isEmpty` until an element was written. */
let openList: { isEmpty: boolean } | null = null;

/**
 * Begins a document with a list that may be too long to be held. {@link printElement} writes the list, and {@link printJson} ends the document with the members
 * that follow: an error in the middle becomes such a member, so that stdout holds one document whatever happens.
 * @param before members that stand before the list
 */
export function beginJson(before: Readonly<Record<string, unknown>>, list: string): void {
  const members = [...Object.entries(before), [list, []]] as const;
  process.stdout.write(JSON.stringify(Object.fromEntries(members), null, 2).slice(0, -']\n}'.length));
  openList = { isEmpty: true };
}

export function printElement(element: unknown): void {
  if (openList === null) throw new Error('no list was begun');
  process.stdout.write(`${openList.isEmpty ? '' : ','}\n${JSON.stringify(element, null, 2).replace(/^/gm, '    ')}`);
  openList.isEmpty = false;
}

/** The whole result as one JSON document, or the rest of the one that was begun. */
export function printJson(document: unknown): void {
  const list = openList;
  openList = null;
  if (list === null) print(JSON.stringify(document, null, 2));
  else print(`${list.isEmpty ? '' : '\n  '}]${inner(document)}\n}`);
}

/** The members of an object after others, as they stand in a document. */
function inner(members: unknown): string {
  const text = JSON.stringify(members, null, 2).slice(1, -2);
  return text === '' ? '' : `,${text}`;
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
  openTable(headings)(rows);
}

export function tableLines(headings: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => aligned(line, widths));
}

function aligned(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd();
}

/** A table that is printed page by page: columns are as wide as their widest cell so far. @returns prints one page; the headings stand above the first */
export function openTable(headings: readonly string[]): (rows: readonly (readonly string[])[]) => void {
  const widths = headings.map(() => 0);
  let above = [headings];
  return (rows) => {
    const lines = [...above, ...rows];
    above = [];
    for (const line of lines)
      for (const [column, cell] of line.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
    for (const line of lines) print(aligned(line, widths));
  };
}
