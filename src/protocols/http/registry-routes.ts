/** The identity registry over REST (service reference 2.1). */
import { z } from 'zod';
import {
  bulkResultSchema,
  bulkSchema,
  deviceDraftSchema,
  deviceSchema,
  deviceStatisticsSchema,
  moduleDraftSchema,
  moduleSchema,
  regeneratedKeysSchema,
  regenerateKeysSchema,
  serviceStatisticsSchema,
} from '../../api/identities.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { identityKey } from './addresses.ts';
import {
  bulkItem,
  bulkResultJson,
  deviceDraft,
  deviceJson,
  moduleDraft,
  moduleJson,
  regeneratedKeysJson,
} from './mapping.ts';
import { type ApiRoute, route } from './route.ts';

const device = '/devices/:deviceId';
const module = '/devices/:deviceId/modules/:moduleId';

/** `top` outside of 1 to 1000, or no number, counts as 1000: the service does not refuse it. */
const listQuery = z.object({ top: z.string().optional() });

export function registryRoutes({ registry }: Pick<Hub, 'registry'>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url: '/devices',
      summary: `Devices in order of id, at most ${limits.listPageMax}`,
      tag: 'devices',
      query: listQuery,
      answers: { 200: z.array(deviceSchema) },
      handle: async ({ principal, query }) => {
        const views = await registry.list(principal, topOf(query.top));
        return { status: 200, body: views.map(deviceJson) };
      },
    }),
    route({
      method: 'POST',
      url: '/devices',
      summary: `Creates, changes or deletes up to ${limits.bulkIdentitiesMax} devices and modules`,
      tag: 'devices',
      body: bulkSchema,
      bodyBounds: { valuesMax: limits.httpJsonValuesMax, elementsMax: limits.bulkIdentitiesMax },
      answers: { 200: bulkResultSchema, 400: bulkResultSchema },
      handle: async ({ principal, body }) => {
        if (body.length === 0 || body.length > limits.bulkIdentitiesMax) {
          throw new HubError('ArgumentInvalid', `A bulk request holds 1 to ${limits.bulkIdentitiesMax} items.`);
        }
        const result = await registry.bulk(principal, body.map(bulkItem));
        if (result.isSuccessful) return { status: 200, body: bulkResultJson(result) };
        return { status: 400, errorCode: 'BulkRegistryOperationFailure', body: bulkResultJson(result) };
      },
    }),
    route({
      method: 'POST',
      url: '/devices/keys/regenerate',
      summary: `New keys, one or both, for up to ${limits.bulkIdentitiesMax} devices and modules`,
      tag: 'devices',
      body: regenerateKeysSchema,
      bodyBounds: { valuesMax: limits.httpJsonValuesMax, elementsMax: limits.bulkIdentitiesMax },
      answers: { 200: regeneratedKeysSchema },
      handle: async ({ principal, body }) => {
        const keys = body.devices.map(({ id, moduleId }) =>
          identityKey({ deviceId: id, moduleId: moduleId ?? undefined }),
        );
        const outcomes = await registry.regenerateKeys(principal, body.policyKey, keys);
        return { status: 200, body: regeneratedKeysJson(body.policyKey, keys, outcomes) };
      },
    }),
    route({
      method: 'GET',
      url: device,
      summary: 'One device',
      tag: 'devices',
      answers: { 200: deviceSchema },
      handle: async ({ principal, params }) => {
        const view = await registry.get(principal, identityKey(params));
        return { status: 200, body: deviceJson(view), etag: view.etag };
      },
    }),
    route({
      method: 'PUT',
      url: device,
      summary: 'Creates a device, or with If-Match replaces it',
      tag: 'devices',
      body: deviceDraftSchema,
      answers: { 200: deviceSchema },
      handle: async ({ principal, params, body, ifMatch }) => {
        const view = await registry.put(principal, deviceDraft(identityKey(params), body), ifMatch);
        return { status: 200, body: deviceJson(view), etag: view.etag };
      },
    }),
    route({
      method: 'DELETE',
      url: device,
      summary: 'Deletes a device with its modules',
      tag: 'devices',
      answers: { 204: null },
      handle: async ({ principal, params, ifMatch }) => {
        await registry.delete(principal, identityKey(params), ifMatch);
        return { status: 204 };
      },
    }),
    route({
      method: 'GET',
      url: `${device}/modules`,
      summary: 'The modules of a device in order of id',
      tag: 'modules',
      answers: { 200: z.array(moduleSchema) },
      handle: async ({ principal, params }) => {
        const views = await registry.listModules(principal, identityKey(params).deviceId);
        return { status: 200, body: views.map(moduleJson) };
      },
    }),
    route({
      method: 'GET',
      url: module,
      summary: 'One module',
      tag: 'modules',
      answers: { 200: moduleSchema },
      handle: async ({ principal, params }) => {
        const view = await registry.get(principal, identityKey(params));
        return { status: 200, body: moduleJson(view), etag: view.etag };
      },
    }),
    route({
      method: 'PUT',
      url: module,
      summary: 'Creates a module, or with If-Match replaces it',
      tag: 'modules',
      body: moduleDraftSchema,
      answers: { 200: moduleSchema },
      handle: async ({ principal, params, body, ifMatch }) => {
        const view = await registry.put(principal, moduleDraft(identityKey(params), body), ifMatch);
        return { status: 200, body: moduleJson(view), etag: view.etag };
      },
    }),
    route({
      method: 'DELETE',
      url: module,
      summary: 'Deletes a module',
      tag: 'modules',
      answers: { 204: null },
      handle: async ({ principal, params, ifMatch }) => {
        await registry.delete(principal, identityKey(params), ifMatch);
        return { status: 204 };
      },
    }),
    route({
      method: 'GET',
      url: '/statistics/devices',
      summary: 'How many devices are registered, by status',
      tag: 'statistics',
      answers: { 200: deviceStatisticsSchema },
      handle: async ({ principal }) => {
        const { totalDeviceCount, enabledDeviceCount, disabledDeviceCount } = await registry.statistics(principal);
        return { status: 200, body: { totalDeviceCount, enabledDeviceCount, disabledDeviceCount } };
      },
    }),
    route({
      method: 'GET',
      url: '/statistics/service',
      summary: 'How many devices are connected',
      tag: 'statistics',
      answers: { 200: serviceStatisticsSchema },
      handle: async ({ principal }) => {
        const { connectedDeviceCount } = await registry.statistics(principal);
        return { status: 200, body: { connectedDeviceCount } };
      },
    }),
  ];
}

/** Undefined = no number. */
export function topOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
