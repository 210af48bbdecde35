/** What is sent: our own payload, or what the incoming webhooks of some products take. */
import type { WebhookConfig } from '../config/telling.ts';
import { lineOf, type RekeydEvent, severityOf } from '../core/event.ts';

type Format = WebhookConfig['format'];

const BODIES: Readonly<Record<Format, (event: RekeydEvent, id: string, webhook: WebhookConfig) => unknown>> = {
  standard: (event) => event,
  slack: slackBody,
  teams: teamsBody,
  pagerduty: pagerdutyBody,
};

/** @param id names the event, over all tries */
export function bodyOf(event: RekeydEvent, id: string, webhook: WebhookConfig): string {
  return JSON.stringify(BODIES[webhook.format](event, id, webhook));
}

/** Slack, "Sending messages using incoming webhooks" and "Formatting message text": these three characters are escaped, and nothing else is markup then. */
function slackBody(event: RekeydEvent) {
  const text = lineOf(event).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return { text };
}

/** Teams, "Post to a channel when a webhook request is received" of Workflows: a message with an Adaptive Card. */
function teamsBody(event: RekeydEvent) {
  const { type, timestamp } = event;
  // A TextBlock reads some Markdown; a link in a reason must not become one.
  const text = lineOf(event).replaceAll(/[\\`*_[\]]/g, '\\$&');
  const card = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.2',
    body: [
      { type: 'TextBlock', text, wrap: true },
      { type: 'TextBlock', text: `${type} · ${timestamp}`, isSubtle: true, wrap: true },
    ],
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content: card }] };
}

/** In characters. */
const MOST_SUMMARY = 1_024;

/** PagerDuty, "Send an alert event", Events API v2. A try that is repeated is the same alert. */
function pagerdutyBody(event: RekeydEvent, id: string, { routingKey }: WebhookConfig) {
  const { type, timestamp, data } = event;
  return {
    routing_key: routingKey?.reveal(),
    event_action: 'trigger',
    dedup_key: id,
    payload: {
      summary: lineOf(event).slice(0, MOST_SUMMARY).toWellFormed(),
      source: data.client ?? 'rekeyd',
      severity: severityOf(event),
      timestamp,
      component: 'rekeyd',
      class: type,
      custom_details: data,
    },
  };
}
