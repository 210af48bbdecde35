/** Reads HTML as a browser does, and says what a page of ours must not have. */
import { type DefaultTreeAdapterTypes, parse } from 'parse5';

type Node = DefaultTreeAdapterTypes.Node;
type Element = DefaultTreeAdapterTypes.Element;

export interface Seen {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** With that of what is inside. */
  readonly text: string;
  readonly inside: readonly Seen[];
}

/** Every element of a document, in order. */
export function elementsOf(html: string): readonly Seen[] {
  return childrenOf(parse(html)).flatMap(withInside);
}

function childrenOf(node: Node): readonly Seen[] {
  if (!('childNodes' in node)) return [];
  const elements = node.childNodes.filter((child): child is Element => 'tagName' in child);
  return elements.map((element) => ({
    name: element.tagName,
    attributes: Object.fromEntries(element.attrs.map(({ name, value }) => [name, value])),
    text: textOf(element),
    inside: childrenOf(element),
  }));
}

function withInside(one: Seen): readonly Seen[] {
  return [one, ...one.inside.flatMap(withInside)];
}

function textOf(node: Node): string {
  if ('value' in node) return node.value;
  return 'childNodes' in node ? node.childNodes.map(textOf).join('') : '';
}

/** Opens an element, ends an attribute in either kind of quotes, and gives the element that it stands in a handler. */
export const HOSTILE = `<x-attack>"><x-attack>'><x-attack> " onclick="x-attack" ' onclick='x-attack' style="x" javascript:x-attack &lt;x-attack`;

const ALLOWED_SCRIPT = /^\/assets\/page\.js\?v=/;

/** What comes of hostile text, and what the policy for content refuses. Empty: nothing. */
export function dangersIn(html: string): readonly string[] {
  return elementsOf(html).flatMap(({ name, attributes }) => {
    const found = Object.entries(attributes).flatMap(([key, value]) => {
      if (/^on/i.test(key) || key === 'style') return [`${name} has ${key}`];
      const isAddress = ['href', 'src', 'action', 'xlink:href'].includes(key);
      return isAddress && !/^(?:\/(?!\/)|#|data:image\/svg\+xml,)/.test(value) ? [`${name} leads to ${value}`] : [];
    });
    const isScript = name === 'script' && !ALLOWED_SCRIPT.test(attributes.src ?? '');
    return [
      ...found,
      ...(isScript || ['x-attack', 'style', 'iframe', 'img'].includes(name) ? [`there is a ${name}`] : []),
    ];
  });
}

/** What somebody with a keyboard or a screen reader would miss. Empty: nothing. */
export function obstaclesIn(html: string): readonly string[] {
  const all = elementsOf(html);
  const ids = all.flatMap(({ attributes }) => attributes.id ?? []);
  const labels = new Set(all.filter(({ name }) => name === 'label').flatMap(({ attributes }) => attributes.for ?? []));
  const wrapped = new Set(all.filter(({ name }) => name === 'label').flatMap(({ inside }) => inside));
  const live = all.filter(({ attributes }) => attributes['data-live'] !== undefined);
  const drawnAnew = new Set(live.flatMap(withInside));
  const headings = all.filter(({ name }) => name === 'h1').length;
  const found = all.flatMap((element): readonly string[] => {
    const { name, attributes, text, inside } = element;
    const isNamed = attributes['aria-label'] !== undefined;
    switch (name) {
      case 'input':
      case 'select':
      case 'textarea': {
        const isLabelled = isNamed || labels.has(attributes.id ?? '') || wrapped.has(element);
        return attributes.type === 'hidden' || isLabelled ? [] : [`${name} ${attributes.name} has no label`];
      }
      case 'a':
      case 'button':
      case 'summary':
        return text.trim() === '' ? [`${name} has no words`] : [];
      case 'table':
        return inside.some((child) => child.name === 'caption') ? [] : ['a table has no caption'];
      case 'svg':
        return isNamed ||
          attributes['aria-hidden'] === 'true' ||
          attributes.class?.startsWith('span') ||
          attributes.class?.startsWith('mark')
          ? []
          : ['an svg has no name'];
      case 'th':
        return attributes.scope === undefined ? [`th ${text} has no scope`] : [];
      case 'details':
        // An open form keeps its section from being drawn anew: see page.js.
        return attributes.id === undefined && attributes.class !== 'action' && drawnAnew.has(element)
          ? ['details without an id close when the page is drawn anew']
          : [];
      default:
        return [];
    }
  });
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `the id ${id} is there twice`);
  return [...found, ...twice, ...(headings === 1 ? [] : [`there are ${headings} h1`])];
}
