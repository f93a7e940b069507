/**
 * What the runtime of an IoT Edge device asks the registry (twins reference 6): the older form for its own children, and the form
 * of today, also on behalf of an edge device below it. Both are asked by the module `$edgeHub` with its own credential.
 */
import { z } from 'zod';
import { behalfSchema, inScopeSchema, targetScopeSchema } from '../../api/identities.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { identityKey } from './addresses.ts';
import { inScopeJson } from './mapping.ts';
import { topOf } from './registry-routes.ts';
import { type ApiRoute, route } from './route.ts';

const module = '/devices/:deviceId/modules/:moduleId';
const tag = 'edge devices';
/** For what has one page. */
const noLink = (): string => '';

export function edgeScopeRoutes({ registry }: Pick<Hub, 'registry'>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url: `${module}/devicesAndModulesInDeviceScope`,
      caller: 'device',
      summary: 'What $edgeHub may know: its device, the children of it, the modules of each',
      tag,
      query: z.object({ deviceCount: z.string().optional(), continuationToken: z.string().optional() }),
      answers: { 200: inScopeSchema },
      handle: async ({ principal, params, query: { deviceCount, continuationToken } }) => {
        const edgeHub = identityKey(params);
        const page = pageOf(topOf(deviceCount), continuationToken);
        const found = await registry.listInScope(principal, edgeHub, page);
        return { status: 200, body: inScopeJson(found, (after) => nextPath(edgeHub, page.limit, after)) };
      },
    }),
    route({
      method: 'GET',
      url: `${module}/deviceAndModuleInDeviceScope`,
      caller: 'device',
      summary: 'The same of one device or module',
      tag,
      query: z.object({ targetDeviceId: z.string(), targetModuleId: z.string().optional() }),
      answers: { 200: inScopeSchema },
      handle: async ({ principal, params, query: { targetDeviceId, targetModuleId } }) => {
        const target = identityKey({ deviceId: targetDeviceId, moduleId: targetModuleId || undefined });
        const found = await registry.getInScope(principal, identityKey(params), target);
        return { status: 200, body: inScopeJson(found, noLink) };
      },
    }),
    route({
      method: 'POST',
      url: `${module}/devicesAndModulesInTargetDeviceScope`,
      caller: 'device',
      summary: 'What $edgeHub may know of the edge device that the chain begins with, itself or one below it',
      tag,
      body: targetScopeSchema,
      answers: { 200: inScopeSchema },
      handle: async ({ principal, params, body: { pageSize, continuationLink, authChain } }) => {
        const page = pageOf(pageSize, continuationLink);
        const found = await registry.listInScope(principal, identityKey(params), page, targetOf(authChain));
        return { status: 200, body: inScopeJson(found, (after) => after) };
      },
    }),
    route({
      method: 'POST',
      url: `${module}/getDeviceAndModuleOnBehalfOf`,
      caller: 'device',
      summary: 'The same of one device or module below that edge device',
      tag,
      body: behalfSchema,
      answers: { 200: inScopeSchema },
      handle: async ({ principal, params, body: { targetDeviceId, targetModuleId, authChain } }) => {
        const target = identityKey({ deviceId: targetDeviceId, moduleId: targetModuleId || undefined });
        const found = await registry.getInScope(principal, identityKey(params), target, targetOf(authChain));
        return { status: 200, body: inScopeJson(found, noLink) };
      },
    }),
  ];
}

/** Nothing, zero and too much mean as many as may be. */
function pageOf(limit: number | null | undefined, after: string | null | undefined) {
  return {
    limit: Math.min(limit || limits.scopePageMax, limits.scopePageMax),
    ...(after != null && after !== '' && { after }),
  };
}

function nextPath({ deviceId }: IdentityKey, limit: number, after: string): string {
  const path = `/devices/${encodeURIComponent(deviceId)}/modules/$edgeHub/devicesAndModulesInDeviceScope`;
  return `${path}?deviceCount=${limit}&continuationToken=${encodeURIComponent(after)}&api-version=2018-08-30-preview`;
}

/** The edge device with which a chain begins. @throws HubError ArgumentInvalid */
function targetOf(authChain: string): string {
  const [target] = authChain.split(';', 1);
  if (target === '' || target.includes('/')) {
    throw new HubError('ArgumentInvalid', 'The authChain does not begin with the id of an edge device.');
  }
  return target;
}
