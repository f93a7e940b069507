/** Changes of many devices: asked for, looked at, cancelled, gone on with. The hub carries them out by itself. */
import { z } from 'zod';
import { bulkChangeSchema, bulkProgressSchema } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { PolicyPrincipal, Principal } from '../../core/identity/types.ts';
import type { BulkChangesControl } from '../shared/bulk-changes-control.ts';
import { type ApiRoute, route } from './route.ts';

const place = '/mooring/v1/bulk-changes';
const tag = 'devices';

export function bulkChangeRoutes(hub: Pick<Hub, 'guard'>, changes: BulkChangesControl): readonly ApiRoute[] {
  const writer = (principal: Principal): PolicyPrincipal => {
    hub.guard.demand(principal, 'registry.write');
    // Who may write to the registry is a policy; a device never comes so far.
    if (principal.kind !== 'policy') throw new HubError('IotHubUnauthorizedAccess');
    return principal;
  };
  return [
    route({
      method: 'POST',
      url: place,
      summary:
        'Enables, disables, deletes or tags all devices that a condition is true of, or those named, or creates those named. The hub ' +
        'goes on by itself; the answer says by which id to look at it',
      tag,
      body: bulkChangeSchema,
      bodyBounds: { valuesMax: limits.bulkChangeIdsMax + limits.httpJsonValuesMax },
      answers: { 202: bulkProgressSchema },
      handle: async ({ principal, body }) => ({ status: 202, body: await changes.start(writer(principal), body) }),
    }),
    route({
      method: 'GET',
      url: place,
      summary: 'Changes of many devices of this hub process, newest first, with how far they have come',
      tag,
      answers: { 200: z.array(bulkProgressSchema) },
      handle: async ({ principal }) => {
        hub.guard.demand(principal, 'registry.read');
        return { status: 200, body: changes.list() };
      },
    }),
    route({
      method: 'GET',
      url: `${place}/:changeId`,
      summary: 'How far a change of many devices has come, or what became of it',
      tag,
      answers: { 200: bulkProgressSchema },
      handle: async ({ principal, params }) => {
        hub.guard.demand(principal, 'registry.read');
        return { status: 200, body: changes.get(params.changeId ?? '') };
      },
    }),
    route({
      method: 'POST',
      url: `${place}/:changeId/cancel`,
      summary: 'Stops a change of many devices; what is done stays done',
      tag,
      answers: { 200: bulkProgressSchema },
      handle: async ({ principal, params }) => {
        writer(principal);
        return { status: 200, body: await changes.cancel(params.changeId ?? '') };
      },
    }),
    route({
      method: 'POST',
      url: `${place}/:changeId/resume`,
      summary: 'Goes on with a change of many devices that has ended before its end, as a new one in its place',
      tag,
      answers: { 202: bulkProgressSchema },
      handle: async ({ principal, params }) => ({
        status: 202,
        body: await changes.resume(writer(principal), params.changeId ?? ''),
      }),
    }),
  ];
}
