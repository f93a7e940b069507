import { limits } from '../../../base/limits.ts';
import type { EndpointKind } from './kind.ts';

/** Another event hub of this hub, read by its own name: with partitions, consumer groups and a retention of its own. */
export interface EventHubEndpoint {
  readonly kind: 'eventHub';
  readonly name: string;
  /** The entity path by which readers open it. */
  readonly eventHub: string;
  readonly partitions: number;
  readonly retentionHours: number;
  readonly retentionBytes: number;
}

const GiB = 2 ** 30;

export const eventHubKind: EndpointKind<EventHubEndpoint> = {
  secrets: [],
  read(fields, name) {
    const eventHub = fields.text('eventHub', { default: name, charsMax: limits.routeNameCharsMax });
    if (!/^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(eventHub)) {
      fields.fail('eventHub', "it has letters, digits, '.', '-' and '_', and begins and ends with a letter or digit.");
    }
    return {
      ...{ kind: 'eventHub', name, eventHub },
      partitions: fields.integer('partitions', { min: 1, max: 32, default: 4 }),
      retentionHours: fields.integer('retentionHours', { min: 1, max: 24 * 90, default: 24 }),
      retentionBytes: fields.integer('retentionBytes', { min: 2 ** 26, max: 2 ** 50, default: GiB }),
    };
  },
};
