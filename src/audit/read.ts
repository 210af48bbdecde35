/** Reads exported audit logs, one line after the other: a log of years does not fit into memory. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEntry } from '../core/audit.ts';
import { sameJson } from '../core/json.ts';
import { members, parseJson } from '../core/reply.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { exportFiles } from './export.ts';

/** One line of an export. */
export interface ExportedLine {
  readonly seq: number;
  readonly time: string;
  readonly type: string;
  /** The entry as JSON. */
  readonly text: string;
  readonly file: string;
}

/** Sorted, as a sealed line is, an entry ends with these members; else it begins with them. */
const END = /"seq":(\d+),"time":"([^"]+)","type":"([^"]+)"\}$/;
const START = /^\{"seq":(\d+),"time":"([^"]+)","type":"([^"]+)"/;

/** In characters. A longer line is no entry, and is not read to its end. */
const LONGEST_LINE = 16 * 1024 ** 2;

/** Longer than what {@link END} finds. */
const END_LENGTH = 150;

/**
 * Hands on all entries of these folders, by number, each once: folders may overlap.
 * @throws RekeydError `usage` when a folder holds no export, or two hold different logs; `export_failed` when a file cannot be read
 */
export async function readExports(dirs: readonly string[], take: (line: ExportedLine) => void): Promise<void> {
  const folders = await Promise.all(dirs.map(async (dir) => new Folder(await filesOf(dir))));
  let last: ExportedLine | null = null;
  for (;;) {
    for (const folder of folders) if (folder.isEmpty) await folder.fill();
    const open = folders.filter(({ isEmpty }) => !isEmpty);
    const [first, ...others] = open;
    if (first === undefined) return;
    // As far as one of them is read, without waiting for a file.
    while (open.every(({ isEmpty }) => !isEmpty)) {
      const next = others.reduce((a, b) => (b.head.seq < a.head.seq ? b : a), first);
      const line = next.shift();
      if (last?.seq === line.seq) expectSame(last, line);
      else take(line);
      last = line;
    }
  }
}

async function filesOf(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    throw new RekeydError(
      'usage',
      `${dir} cannot be read: ${messageOf(error)}. Name folders of \`rekeyd audit export\`.`,
    );
  });
  const files = exportFiles(names);
  if (files.length > 0) return files.map((name) => join(dir, name));
  throw new RekeydError('usage', `${dir} holds no audit-*.jsonl: name a folder that \`rekeyd audit export\` wrote.`);
}

/** The lines of one folder, a piece of a file at a time. */
class Folder {
  readonly #files: string[];
  #pieces: AsyncIterator<string> | null = null;
  #file = '';
  #rest = '';
  #lines: ExportedLine[] = [];
  #at = 0;

  constructor(files: string[]) {
    this.#files = files;
  }

  get isEmpty(): boolean {
    return this.#at >= this.#lines.length;
  }

  get head(): ExportedLine {
    const line = this.#lines[this.#at];
    if (line === undefined) throw new Error('it was not filled');
    return line;
  }

  shift(): ExportedLine {
    const line = this.head;
    this.#at += 1;
    return line;
  }

  /** Until it has a line, or its files are at their end. */
  async fill(): Promise<void> {
    this.#lines = [];
    this.#at = 0;
    while (this.#lines.length === 0) {
      const piece = await this.#piece();
      if (piece === null) return;
      const texts = (this.#rest + piece).split('\n');
      this.#rest = texts.pop() ?? '';
      if (this.#rest.length > LONGEST_LINE) throw damaged(this.#rest, this.#file);
      this.#lines = texts.map((text) => lineOf(text, this.#file));
    }
  }

  async #piece(): Promise<string | null> {
    for (;;) {
      if (this.#pieces === null) {
        const file = this.#files.shift();
        if (file === undefined) return null;
        this.#file = file;
        this.#pieces = createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 18 })[Symbol.asyncIterator]();
      }
      const piece = await this.#pieces.next().catch((error: unknown) => {
        throw new RekeydError('export_failed', `${this.#file} cannot be read: ${messageOf(error)}.`);
      });
      if (!piece.done) return piece.value;
      if (this.#rest !== '') throw damaged(this.#rest, this.#file);
      this.#pieces = null;
    }
  }
}

function lineOf(text: string, file: string): ExportedLine {
  const [, seq, time, type] = END.exec(text.slice(-END_LENGTH)) ?? START.exec(text) ?? [];
  if (seq === undefined || time === undefined || type === undefined || !text.endsWith('}')) throw damaged(text, file);
  return { seq: Number(seq), time, type, text, file };
}

/** @throws RekeydError `export_failed` */
export function entryOf({ text, file }: ExportedLine): AuditEntry {
  const parsed = parseJson(text);
  const { client, rotation, data } = members(parsed);
  const isText = (value: unknown) => value === null || typeof value === 'string';
  if (!isText(client) || !isText(rotation) || typeof data !== 'object' || data === null) throw damaged(text, file);
  return parsed as AuditEntry; // the members that tell of keys are checked, and each of `data` where it is read
}

function damaged(text: string, file: string): RekeydError {
  return new RekeydError(
    'export_failed',
    `${file} has a line that is no audit entry (${JSON.stringify(text.slice(0, 60))}): it was changed, or not copied to its end. Copy it anew; \`rekeyd audit verify\` names the first bad entry.`,
  );
}

function unsealed({ text }: ExportedLine): object {
  const { prev: _, hash: __, ...entry } = members(parseJson(text));
  return entry;
}

/** The seal may have come between two exports. */
function expectSame(a: ExportedLine, b: ExportedLine): void {
  if (a.text === b.text || sameJson(unsealed(a), unsealed(b))) return;
  throw new RekeydError(
    'usage',
    `${a.file} and ${b.file} have different entries with the number ${a.seq}: they are two logs, perhaps of a store that was lost and of the one that was declared in its place. Ask about one at a time.`,
  );
}
