/** Reads a Dockerfile: instructions, stages, and the settings of the image that a stage makes. */

export interface Instruction {
  /** In capitals. */
  readonly name: string;
  /** `--from=build` → `from: "build"`. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows the flags, on one line. */
  readonly rest: string;
}

export interface Stage {
  readonly name: string | null;
  /** An image, or the name of an earlier stage. */
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

function parseLine(line: string): Instruction {
  const [, name = '', flags = '', rest = ''] = /^(\w+)((?:\s+--\S+)*)\s+(.*)$/s.exec(line) ?? [];
  if (name === '') throw new Error(`not a Dockerfile instruction: ${line}`);
  const pairs = [...flags.matchAll(/--([\w-]+)(?:=(\S+))?/g)].map(([, key = '', value = '']) => [key, value] as const);
  return { name: name.toUpperCase(), flags: Object.fromEntries(pairs), rest: rest.trim() };
}

/** @throws Error for a line that is no instruction, or one before the first FROM */
export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: { name: string | null; base: string; instructions: Instruction[] }[] = [];
  for (const instruction of lines.map(parseLine)) {
    const stage = stages.at(-1);
    if (instruction.name === 'FROM') {
      const [base = '', , name = null] = instruction.rest.split(/\s+/);
      stages.push({ name, base, instructions: [] });
    } else if (stage === undefined) {
      throw new Error(`${instruction.name} before FROM`);
    } else {
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

/** The arguments of an instruction in its exec form. */
export function execForm(rest: string): string[] {
  const parsed: unknown = JSON.parse(rest);
  if (!Array.isArray(parsed)) throw new Error(`not in exec form: ${rest}`);
  return parsed.map(String);
}

/** The last instruction of that name, from this stage or the stages that it starts from. */
export function lastOf(stages: readonly Stage[], stage: Stage, name: string): Instruction | undefined {
  const own = stage.instructions.findLast((instruction) => instruction.name === name);
  const base = stages.find((other) => other.name === stage.base);
  return own ?? (base && lastOf(stages, base, name));
}
