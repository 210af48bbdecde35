/** Markdown as the generated pages need it. */

/** Cells are Markdown already. A column is as wide as its widest cell, as the formatter wants it. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(3, ...all.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

export function code(text: string): string {
  return `\`${text}\``;
}

/** What is typed or written in a file: an option, a name with an underscore, a pattern of names. */
const TYPED = /(?<![\w-])(?:(?:<[\w-]+>(?:[/.\w]*[/\w])?)+|--[a-z][\w-]*|[\w./-]*\w_\w[\w/-]*|\w+_(?!\w)|[a-z]+\.\*)/g;

/** Text of a help or a description as Markdown: what is typed is set as code, and nothing else of it has a meaning there. */
export function plain(text: string): string {
  const parts = text.split(/(`[^`]*`)/);
  return parts
    .map((part) => (part.startsWith('`') ? part : part.replace(TYPED, '`$&`')))
    .join('')
    .replaceAll('|', '\\|');
}

/** With a full stop. */
export function sentence(text: string): string {
  return text === '' || /[.…:)]$/.test(text) ? text : `${text}.`;
}

/** With a capital, unless it begins with something that is typed. */
export function capital(text: string): string {
  return /^(?!rekeyd\b)[a-z][a-z-]*(?=[ :.]|$)/.test(text) ? `${text[0]?.toUpperCase()}${text.slice(1)}` : text;
}

export function fenced(language: string, text: string): string {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
}

/** What stands at the head of a page that is not edited by hand. */
export const GENERATED = '<!-- Written by `npm run docs`. Change what it is made of, then run that again. -->';
