/** What a person who cannot see well, has no mouse or a small screen needs of a page. */
import axe from 'axe-core';
import type { Page } from 'playwright-core';

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly help: string;
  readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary?: string }[];
}

/** What differs between light and dark. */
const OF_COLOURS = ['color-contrast', 'link-in-text-block'];

/** What axe-core finds serious or critical, a line each. @param which `colours`: only what those can do wrong */
export async function barriers(page: Page, which: 'all' | 'colours' = 'all'): Promise<readonly string[]> {
  if (await page.evaluate<boolean>('globalThis.axe === undefined')) await page.evaluate(axe.source);
  const options = {
    ...{ resultTypes: ['violations'], preload: false },
    ...(which === 'colours' && { runOnly: { type: 'rule', values: OF_COLOURS } }),
  };
  const { violations } = await page.evaluate<{ violations: readonly Violation[] }>(
    `axe.run(document, ${JSON.stringify(options)})`,
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary = '' }) => `${id}: ${help}: ${target.join(' ')}: ${failureSummary}`),
    );
}

/** By how many pixels the page is wider than the screen. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

/** What has the focus: how it is called, and whether a person sees that it has the focus and where. */
export interface Focused {
  readonly name: string;
  readonly isShown: boolean;
}

export function focused(page: Page): Promise<Focused> {
  return page.evaluate<Focused>(`(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const { top, bottom, left, right, width, height } = element.getBoundingClientRect();
    const isInView = width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
    const label = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent;
    return {
      name: element.tagName.toLowerCase() + ' ' + label.trim().replaceAll(/\\s+/g, ' ').slice(0, 80),
      isShown: outlineStyle !== 'none' && outlineWidth !== '0px' && isInView,
    };
  })()`);
}
