/** Builds an image's stages without Docker: each in a folder of its own that holds what its COPY lines bring and its npm commands make. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { basename, delimiter, dirname, join, posix } from 'node:path';
import type { Instruction, Stage } from './dockerfile.ts';

export interface Rehearsed {
  /** The folder that stands for `/`. */
  readonly root: string;
  /** The working directory, in that folder. */
  readonly cwd: string;
  /** What ENV lines set. */
  readonly env: Readonly<Record<string, string>>;
  /** RUN lines that were left out, since they would change this machine. */
  readonly skipped: readonly string[];
}

/**
 * The environment without what `npm test` and vitest put there, since a container has none of it. PATH has this Node, and no program of
 * our own development packages that a stage might lack.
 */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(?:npm_(?!config_(?:cache|registry|userconfig)$)|VITEST|INIT_CWD$|NODE_ENV$|NODE_OPTIONS$|REKEYD_)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  return { ...Object.fromEntries(kept), PATH: [dirname(process.execPath), ...folders].join(delimiter) };
}

export class Rehearsal {
  readonly #stages: readonly Stage[];
  readonly #context: string;
  readonly #folder: string;
  readonly #done = new Map<Stage, Rehearsed>();

  /** @param context where COPY takes files from; @param folder an empty folder for the stages */
  constructor(stages: readonly Stage[], context: string, folder: string) {
    this.#stages = stages;
    this.#context = context;
    this.#folder = folder;
  }

  /** Builds a stage, and before it what it needs. @throws Error with the output of a command that failed */
  build(stage: Stage): Rehearsed {
    const known = this.#done.get(stage);
    if (known !== undefined) return known;
    const root = join(this.#folder, String(this.#stages.indexOf(stage)));
    const base = this.#named(stage.base);
    const start = base === undefined ? null : this.build(base);
    if (start !== null) cpSync(start.root, root, { recursive: true, verbatimSymlinks: true });
    let state: Rehearsed = {
      root,
      cwd: start === null ? root : start.cwd.replace(start.root, root),
      env: start?.env ?? {},
      skipped: start?.skipped ?? [],
    };
    for (const instruction of stage.instructions) state = this.#apply(state, instruction);
    this.#done.set(stage, state);
    return state;
  }

  #named(name: string): Stage | undefined {
    return this.#stages.find((stage) => stage.name === name);
  }

  #apply(state: Rehearsed, { name, flags, rest }: Instruction): Rehearsed {
    switch (name) {
      case 'WORKDIR': {
        const cwd = join(state.root, rest);
        mkdirSync(cwd, { recursive: true });
        return { ...state, cwd };
      }
      case 'ENV': {
        const pairs = rest.split(/\s+/).map((pair) => pair.split('='));
        return { ...state, env: { ...state.env, ...Object.fromEntries(pairs) } };
      }
      case 'COPY':
        this.#copy(state, flags.from, rest);
        return state;
      case 'RUN':
        if (!/^(?:npm|chmod) /.test(rest)) return { ...state, skipped: [...state.skipped, rest] };
        run(state, inRoot(rest, state));
        return state;
      default:
        return state;
    }
  }

  #copy(state: Rehearsed, from: string | undefined, rest: string): void {
    const paths = rest.split(/\s+/);
    const to = paths.pop() ?? '';
    const stage = from === undefined ? undefined : this.#named(from);
    if (from !== undefined && stage === undefined) throw new Error(`COPY --from=${from}: no such stage`);
    const source = stage === undefined ? this.#context : this.build(stage).root;
    const target = posix.isAbsolute(to) ? join(state.root, to) : join(state.cwd, to);
    for (const path of paths) {
      const file = join(source, path);
      if (!existsSync(file)) throw new Error(`COPY ${rest}: ${path} does not exist`);
      cpSync(file, to.endsWith('/') ? join(target, basename(path)) : target, {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
  }
}

/** Absolute paths lead into the folder that stands for `/`. What the base image has there is made. */
function inRoot(command: string, { root }: Rehearsed): string {
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  return command.replaceAll(/(?<=\s)\/(?=\w)/g, `${root}/`);
}

function run({ cwd, env }: Rehearsed, command: string): void {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    cwd,
    encoding: 'utf8',
    env: { ...cleanEnvironment(), npm_config_prefer_offline: 'true', ...env },
  });
  if (status !== 0) throw new Error(`RUN ${command} ended with ${status}\n${stdout}${stderr}`);
}
