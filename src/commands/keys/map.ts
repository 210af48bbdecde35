/** A file that says which client each key file belongs to: CSV (RFC 4180) with a line of column names, or a JSON object on each line. */
import { dirname, resolve } from 'node:path';
import { members, parseJson } from '../../core/reply.ts';
import { messageOf } from '../../errors.ts';
import { readNamed } from '../../files/bounded.ts';
import { usage } from '../select.ts';
import type { KeyFile, KeyFiles, Unusable } from './files.ts';

const MOST_BYTES = 64 * 1024 * 1024;

/** Paths in it start at its own folder. @throws RekeydError `usage` */
export async function filesOfMap(map: string): Promise<KeyFiles> {
  const text = await readMap(map);
  const rows = text.trimStart().startsWith('{') ? jsonRows(text) : csvRows(text, map);
  const files: KeyFile[] = [];
  const unusable: Unusable[] = [];
  for (const { line, row } of rows) {
    const found = row === null ? 'this line is no JSON object' : fileOf(row, dirname(resolve(map)));
    if (typeof found === 'string') unusable.push({ file: `line ${line}`, reason: found });
    else files.push(found);
  }
  return { files, unusable };
}

async function readMap(map: string): Promise<string> {
  try {
    const bytes = await readNamed(map, MOST_BYTES);
    if (bytes === null) throw new Error(`it is larger than ${MOST_BYTES / 1024 / 1024} MiB`);
    return bytes.toString('utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw usage(`The map ${map} cannot be read: ${messageOf(error)}.`);
  }
}

type Row = Partial<Record<string, unknown>>;

interface NumberedRow {
  readonly line: number;
  readonly row: Row | null;
}

/** The file that a row names, or what is wrong with it. Says nothing of its content: it may be a key that was put into the wrong column. */
function fileOf({ client, client_id: clientId, file, alg }: Row, folder: string): KeyFile | string {
  const name = client || clientId;
  if (typeof name !== 'string') return 'it names no client: set client (a reference) or client_id';
  if (typeof file !== 'string' || file === '') return 'it names no file';
  if (/[{\n]|-----/.test(file)) return 'file is no path: put the key into a file, and name that file here';
  if (alg !== undefined && alg !== null && typeof alg !== 'string') return 'alg is no text';
  return { path: resolve(folder, file), shown: file, names: [name], ...(alg ? { alg } : {}) };
}

function jsonRows(text: string): readonly NumberedRow[] {
  return text.split('\n').flatMap((content, index) => {
    if (content.trim() === '') return [];
    const row = members(parseJson(content));
    return [{ line: index + 1, row: Object.keys(row).length === 0 ? null : row }];
  });
}

const SEPARATORS = [',', ';', '\t'];

function csvRows(text: string, map: string): readonly NumberedRow[] {
  const [head = ''] = text.split('\n', 1);
  const separator = SEPARATORS.find((one) => head.includes(one)) ?? ',';
  const [names, ...rows] = csvRecords(text, separator);
  const columns = (names?.fields ?? []).map((name) => name.trim().toLowerCase());
  if (!columns.includes('file') || !(columns.includes('client') || columns.includes('client_id'))) {
    throw usage(
      `The first line of ${map} must name its columns: client (or client_id), file, and alg if there is one. Or give a JSON object on each line.`,
    );
  }
  return rows.map(({ line, fields }) => ({
    line,
    row: Object.fromEntries(columns.map((name, index) => [name, fields[index]?.trim()])),
  }));
}

interface CsvRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

/** A quoted field may hold separators and line ends, and a quote that is doubled. */
function csvRecords(text: string, separator: string): readonly CsvRecord[] {
  const records: CsvRecord[] = [];
  let [line, startedAt, field, isQuoted] = [1, 1, '', false];
  let fields: string[] = [];
  const endRecord = () => {
    if (fields.length > 0 || field.trim() !== '') records.push({ line: startedAt, fields: [...fields, field] });
    [fields, field] = [[], ''];
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\n') line += 1;
    if (isQuoted && char === '"' && text.charAt(at + 1) === '"') {
      field += char;
      at += 1;
    } else if (char === '"' && (isQuoted || field === '')) isQuoted = !isQuoted;
    else if (char === separator && !isQuoted) {
      fields.push(field);
      field = '';
    } else if (char === '\n' && !isQuoted) {
      endRecord();
      startedAt = line;
    } else field += char;
  }
  endRecord();
  return records;
}
