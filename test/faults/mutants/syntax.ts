/** Places in TypeScript sources, found by their shape: a call, a condition, a property. Where lines are moved or formatted anew, they are still found. */
import { parseSync, visitorKeys } from 'oxc-parser';

/** A part of a source, as UTF-16 offsets. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

/** A node of an ESTree (with TypeScript's own nodes). */
interface SyntaxNode extends Place {
  readonly type: string;
  readonly [member: string]: unknown;
}

/** The place that a node is, or holds; null when it is of another shape. */
export type Shape = (node: SyntaxNode, source: string) => Place | null;

export interface Edit {
  /** From the root of the repository. */
  readonly file: string;
  /** The name of the function, method or variable around it; `outer.inner` where the inner name alone is not enough. */
  readonly within: string;
  readonly find: Shape;
  /** What takes its place, or makes that of its text. */
  readonly put: string | ((text: string) => string);
}

/** File → its text with all edits. @throws when a place is not found exactly once, or when the result is not TypeScript any more */
export function applyEdits(edits: readonly Edit[], read: (file: string) => string): ReadonlyMap<string, string> {
  const changed = new Map<string, string>();
  for (const [file, mine] of Map.groupBy(edits, (edit) => edit.file)) {
    const source = read(file);
    const program = parse(file, source);
    const found = mine.map((edit) => ({ edit, place: placeOf(edit, program, source) }));
    let text = source;
    let end = source.length;
    for (const { edit, place } of found.sort((a, b) => b.place.start - a.place.start)) {
      if (place.end > end) throw new Error(`${file}: two edits change the same place`);
      end = place.start;
      const before = source.slice(place.start, place.end);
      const after = typeof edit.put === 'string' ? edit.put : edit.put(before);
      text = text.slice(0, place.start) + after + text.slice(place.end);
    }
    parse(file, text);
    changed.set(file, text);
  }
  return changed;
}

function parse(file: string, source: string): SyntaxNode {
  const { program, errors } = parseSync(file, source);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${file}: ${error.message}\n${error.codeframe}`);
  return program as unknown as SyntaxNode; // it has all of its members, and an index signature is what these types leave out
}

function placeOf({ file, within, find }: Edit, program: SyntaxNode, source: string): Place {
  const around = within
    .split('.')
    .reduce((nodes, name) => nodes.flatMap((node) => below(node).filter((inner) => nameOf(inner) === name)), [program]);
  const [scope] = around;
  if (scope === undefined || around.length > 1) throw new Error(`${file} has ${around.length} of the name ${within}`);
  const places = below(scope).flatMap((node) => find(node, source) ?? []);
  const [place] = places;
  if (place === undefined || places.length > 1)
    throw new Error(`${file}: in ${within} there are ${places.length} places of that shape, and there must be one`);
  return place;
}

/** All nodes inside of one, and itself. */
function below(node: SyntaxNode): SyntaxNode[] {
  const children = (visitorKeys[node.type] ?? []).flatMap((key) => node[key] ?? []);
  return [node, ...children.filter(isNode).flatMap(below)];
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value;
}

/** Of what gives a name to what is inside of it. */
function nameOf(node: SyntaxNode): string | null {
  switch (node.type) {
    case 'FunctionDeclaration':
    case 'VariableDeclarator':
      return identifierIn(node.id);
    case 'Property':
    case 'MethodDefinition':
      return identifierIn(node.key);
    default:
      return null;
  }
}

function identifierIn(value: unknown): string | null {
  return isNode(value) && value.type === 'Identifier' && typeof value.name === 'string' ? value.name : null;
}

function textOf({ start, end }: Place, source: string): string {
  return source.slice(start, end).replace(/\s+/g, '');
}

const itself = (node: SyntaxNode, is: boolean): Place | null => (is ? node : null);

const holds = (node: unknown, shape: Shape, source: string): boolean =>
  isNode(node) && below(node).some((inner) => shape(inner, source) !== null);

/** `name(…)`; `object.name(…)` where the name is written so. */
export function call(name: string): Shape {
  return (node, source) =>
    itself(node, node.type === 'CallExpression' && isNode(node.callee) && textOf(node.callee, source) === name);
}

/** `object.name`, written so. */
export function member(name: string): Shape {
  return (node, source) => itself(node, node.type === 'MemberExpression' && textOf(node, source) === name);
}

/** `const name = …` or `let name = …`. */
export function declarationOf(name: string): Shape {
  return (node) => {
    const { type, declarations } = node;
    if (type !== 'VariableDeclaration' || !Array.isArray(declarations)) return null;
    return itself(
      node,
      declarations.some((one) => isNode(one) && identifierIn(one.id) === name),
    );
  };
}

export function identifier(name: string): Shape {
  return (node) => itself(node, identifierIn(node) === name);
}

export function literal(value: string | number): Shape {
  return (node) => itself(node, node.type === 'Literal' && node.value === value);
}

/** The innermost statement that holds the shape: a declaration, an expression, a `return`. */
export function statementOf(shape: Shape): Shape {
  const isOne = ({ type }: SyntaxNode) =>
    type === 'ExpressionStatement' || type === 'VariableDeclaration' || type === 'ReturnStatement';
  const isInner: Shape = (node, source) => itself(node, isOne(node) && holds(node, shape, source));
  return (node, source) => {
    if (isInner(node, source) === null) return null;
    return itself(
      node,
      !below(node)
        .slice(1)
        .some((inner) => isInner(inner, source) !== null),
    );
  };
}

/** The condition of an `if`, or of a choice by `?`, that holds the shape. */
export function conditionOf(shape: Shape): Shape {
  return (node, source) => {
    const isCondition = node.type === 'IfStatement' || node.type === 'ConditionalExpression';
    return isCondition && isNode(node.test) && holds(node.test, shape, source) ? node.test : null;
  };
}

/** The value of the property `name` in an object. */
export function propertyOf(name: string): Shape {
  return (node) =>
    node.type === 'Property' && identifierIn(node.key) === name && isNode(node.value) ? node.value : null;
}

/** An object that has these members. */
export function objectWith(members: Readonly<Record<string, string>>): Shape {
  const isMember = (property: unknown, name: string, value: string) =>
    isNode(property) && identifierIn(property.key) === name && isNode(property.value) && property.value.value === value;
  return (node) => {
    const { type, properties } = node;
    if (type !== 'ObjectExpression' || !Array.isArray(properties)) return null;
    const isAll = Object.entries(members).every(([name, value]) =>
      properties.some((property) => isMember(property, name, value)),
    );
    return itself(node, isAll);
  };
}

/** In a script for Redis: the `if … end` of one line whose condition has this text. */
export function luaIf(condition: string): Shape {
  return (node, source) => {
    if (node.type !== 'TemplateElement') return null;
    const text = source.slice(node.start, node.end);
    const lines = [...text.matchAll(/^[ \t]*(if [^\n]* then [^\n]* end)$/gm)].filter(([, line = '']) =>
      (line.split(' then ')[0] ?? '').includes(condition),
    );
    const [only] = lines;
    if (only === undefined || lines.length > 1) return null;
    const [whole, line = ''] = only;
    const start = node.start + only.index + whole.length - line.length;
    return { start, end: start + line.length };
  };
}
