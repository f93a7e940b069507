/** What this hub adds to the emulated service's API, under `/mooring/v1`: its own facts and consumer groups. */
import { z } from 'zod';
import { consumerGroupSchema, hubFactsSchema } from '../../api/hub.ts';
import type { Hub } from '../../core/hub.ts';
import { consumerGroupJson, eventHubJson } from './mapping.ts';
import { type ApiRoute, route } from './route.ts';

const groups = '/mooring/v1/event-hubs/:eventHub/consumer-groups';
const group = `${groups}/:consumerGroup`;

export function hubRoutes(hub: Pick<Hub, 'name' | 'hostNames' | 'events'>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url: '/mooring/v1/hub',
      summary: 'Names of the hub, its event hubs and their partitions',
      tag: 'hub',
      answers: { 200: hubFactsSchema },
      handle: async ({ principal }) => {
        const eventHubs = await Promise.all(hub.events.eventHubs(principal).map(eventHubJson));
        return { status: 200, body: { name: hub.name, hostNames: [...hub.hostNames.all], eventHubs } };
      },
    }),
    route({
      method: 'GET',
      url: groups,
      summary: 'Consumer groups of an event hub',
      tag: 'consumer groups',
      answers: { 200: z.array(consumerGroupSchema) },
      handle: async ({ principal, params }) => {
        const found = await hub.events.listConsumerGroups(principal, params.eventHub ?? '');
        return { status: 200, body: found.map(consumerGroupJson) };
      },
    }),
    route({
      method: 'PUT',
      url: group,
      summary: 'Creates a consumer group',
      tag: 'consumer groups',
      answers: { 201: consumerGroupSchema },
      handle: async ({ principal, params }) => {
        const { eventHub = '', consumerGroup = '' } = params;
        const created = await hub.events.createConsumerGroup(principal, eventHub, consumerGroup);
        return { status: 201, body: consumerGroupJson(created) };
      },
    }),
    route({
      method: 'DELETE',
      url: group,
      summary: 'Deletes a consumer group; its readers are cut off',
      tag: 'consumer groups',
      answers: { 204: null },
      handle: async ({ principal, params }) => {
        const { eventHub = '', consumerGroup = '' } = params;
        await hub.events.deleteConsumerGroup(principal, eventHub, consumerGroup);
        return { status: 204 };
      },
    }),
  ];
}
