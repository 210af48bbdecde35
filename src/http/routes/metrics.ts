/** What Prometheus asks for. */
import { z } from 'zod';
import { METRICS_TYPE } from '../../metrics/metrics.ts';
import { ProblemError } from '../problem.ts';
import { type Route, route } from '../route.ts';

export const metricsRoutes: readonly Route[] = [
  route({
    ...{ method: 'GET', path: '/metrics', scope: 'metrics', id: 'getMetrics' },
    summary: 'Metrics of this worker, for Prometheus.',
    description: 'They are about all clients, so a token that is restricted to some does not see them.',
    answers: { 200: { description: 'The text format of Prometheus.', type: 'text/plain', schema: z.string() } },
    async handle({ context: { metrics }, principal: { only } }) {
      if (only !== null) {
        throw new ProblemError(403, `You may ask for ${only} alone, and metrics are about all clients.`);
      }
      return { status: 200, headers: { 'content-type': METRICS_TYPE }, body: await metrics.text() };
    },
  }),
];
