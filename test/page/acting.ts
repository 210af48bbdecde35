/** What a person does on the page, by the words that they read there. */
import type { Locator, Page } from 'playwright-core';

/** Opens the form behind these words. */
export async function openForm(page: Page, title: string): Promise<Locator> {
  const form = page.locator('details', { has: page.locator('summary', { hasText: title }) });
  await form.locator('summary').click();
  return form;
}

/** Fills in a reason, and sends the form. */
export async function send(form: Locator, verb: string, reason: string): Promise<void> {
  await form.getByLabel('Reason').fill(reason);
  await form.getByRole('button', { name: verb, exact: true }).click();
}

/** Marks the page that is shown now: a reload takes the mark away. */
export async function mark(page: Page): Promise<void> {
  await page.evaluate('globalThis.isTheSamePage = true');
}

export function isStillTheSame(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('globalThis.isTheSamePage === true');
}
