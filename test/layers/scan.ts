/** A small scanner of TypeScript sources: tells code from comments and strings without a compiler. */

export interface Scan {
  /** The source without comments. Each string and each template text is `"n"`, n being its index in `strings`; code inside of `${}` stays. */
  readonly code: string;
  readonly strings: readonly string[];
}

/** After one of these a slash starts a regular expression; after anything else it divides. */
const BEFORE_REGEX =
  /(?:^|[=([{,;:!&|?+\-*%~^<>}]|=>|\b(?:return|typeof|case|in|of|do|else|void|delete|await|yield|throw))\s*$/;

/** The parts of a source that are not plain code, in the order they are tried at each place. */
const TOKENS = {
  comment: /\/\/[^\n]*|\/\*[\s\S]*?\*\//y,
  string: /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y,
  regex: /\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y,
  template: /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y,
};

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

export function scan(source: string): Scan {
  const strings: string[] = [];
  /** For each open `${`, how many braces are open inside of it. */
  const holes: number[] = [];
  let code = '';
  let at = source.startsWith('#!') ? source.indexOf('\n') : 0;

  const keep = (text: string) => {
    code += `"${strings.length}"`;
    strings.push(text);
  };
  /** Reads template text from `at` to its end or to the next `${`. */
  const template = () => {
    const text = matchAt(TOKENS.template, source, at) ?? '';
    keep(text);
    at += text.length;
    if (source.startsWith('${', at)) {
      holes.push(0);
      code += ' + (';
      at += 2;
    } else {
      at += 1;
    }
  };

  while (at < source.length) {
    const character = source.charAt(at);
    const comment = matchAt(TOKENS.comment, source, at);
    const string = matchAt(TOKENS.string, source, at);
    const regex = character === '/' && BEFORE_REGEX.test(code) ? matchAt(TOKENS.regex, source, at) : undefined;
    const depth = holes.at(-1);
    if (comment !== undefined) {
      code += ' ';
      at += comment.length;
    } else if (string !== undefined) {
      keep(string.slice(1, -1));
      at += string.length;
    } else if (regex !== undefined) {
      keep(regex);
      at += regex.length;
    } else if (character === '`') {
      at += 1;
      template();
    } else if (character === '}' && depth === 0) {
      holes.pop();
      code += ') + ';
      at += 1;
      template();
    } else {
      if (depth !== undefined && character === '{') holes[holes.length - 1] = depth + 1;
      if (depth !== undefined && character === '}') holes[holes.length - 1] = depth - 1;
      code += character;
      at += 1;
    }
  }
  return { code, strings };
}

/** `import … from "0"`, `export … from "0"`, `import "0"`; then `import("0")`, also as a type, and `require("0")`. */
const STATIC = /(?<![.\w$])(?:(?:import|export)\b[^;"()=]*?\bfrom\s*|import\s*)"(\d+)"/g;
const CALLED = /(?<![.\w$])(?:import|require)\s*\(\s*(?:"(\d+)"\s*[,)])?/g;

/** The specifiers that a source imports, the static ones first; `null` stands for one that is computed at run time. */
export function importsOf({ code, strings }: Scan): (string | null)[] {
  return [...code.matchAll(STATIC), ...code.matchAll(CALLED)].map(([, index]) => strings[Number(index)] ?? null);
}
