/** Unified diffs as far as the mutants need them: each hunk is found by its lines alone, wherever they stand, and they must stand there once. */

export interface Patch {
  /** Lines of the form `Name: value` before the diff. */
  readonly header: Readonly<Record<string, string>>;
  readonly hunks: readonly Hunk[];
}

interface Hunk {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export function parsePatch(text: string): Patch {
  const header: Record<string, string> = {};
  const hunks: { file: string; from: string[]; to: string[] }[] = [];
  let file = '';
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const [, name, value] = /^([A-Z]\w+): (.+)$/.exec(line) ?? [];
    if (hunks.length === 0 && name !== undefined && value !== undefined) header[name] = value;
    if (line.startsWith('+++ b/')) file = line.slice('+++ b/'.length);
    else if (line.startsWith('@@')) hunks.push({ file, from: [], to: [] });
    else if (!/^(?:diff|---|index) /.test(line)) {
      if (line.startsWith('-') || line.startsWith(' ')) hunks.at(-1)?.from.push(line.slice(1));
      if (line.startsWith('+') || line.startsWith(' ')) hunks.at(-1)?.to.push(line.slice(1));
    }
  }
  const whole = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
  return { header, hunks: hunks.map(({ file, from, to }) => ({ file, from: whole(from), to: whole(to) })) };
}

/** File → its text once the patch is applied. @throws when a hunk does not fit, or fits in several places */
export function applyPatch({ hunks }: Patch, read: (file: string) => string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const { file, from, to } of hunks) {
    const text = texts.get(file) ?? read(file);
    const parts = text.split(from);
    if (parts.length !== 2)
      throw new Error(`${file} has these lines ${parts.length - 1} times, and not once:\n${from}`);
    texts.set(file, parts.join(to));
  }
  return texts;
}
