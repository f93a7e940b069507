/** The authority behind the hub's own certificate, under `/mooring/v1`: where it stands, and its roll-over in stages. */
import { type ServerAuthorityJson, serverAuthoritySchema, switchBodySchema } from '../../api/authorities.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { Operation } from '../../core/identity/operations.ts';
import type { Principal } from '../../core/identity/types.ts';
import type { ServerAuthority, ServerAuthorityStatus } from '../shared/server-authority.ts';
import { timeText } from './mapping.ts';
import { type ApiAnswer, type ApiRoute, route } from './route.ts';

const place = '/mooring/v1/server-authority';
const tag = 'server authority';

/** @param authority absent = the certificate is the operator's: every request is answered so */
export function serverAuthorityRoutes(
  hub: Pick<Hub, 'registry' | 'guard'>,
  authority: ServerAuthority | undefined,
): readonly ApiRoute[] {
  const allowed = (principal: Principal, operation: Operation): ServerAuthority => {
    hub.guard.demand(principal, operation);
    if (authority === undefined) {
      throw new HubError('OperationNotAvailable', 'The certificate of this hub is given by its settings.');
    }
    return authority;
  };
  const unseenOf = (principal: Principal, { offered }: ServerAuthorityStatus) =>
    offered === undefined
      ? Promise.resolve(null)
      : hub.registry.unseenSince(principal, offered.since, limits.unseenDevicesShownMax);
  const answer = async (principal: Principal, status: ServerAuthorityStatus): Promise<ApiAnswer> => {
    const unseen = await unseenOf(principal, status);
    const json = (facts: ServerAuthorityStatus['current']) => ({ ...facts, validTo: timeText(facts.validTo) });
    const body: ServerAuthorityJson = {
      current: json(status.current),
      offered: status.offered === undefined ? null : { ...json(status.offered), since: timeText(status.offered.since) },
      bundle: status.bundle,
      unseen: unseen && { ...unseen, deviceIds: [...unseen.deviceIds] },
    };
    return { status: 200, body };
  };
  return [
    route({
      method: 'GET',
      url: place,
      summary: 'The authority behind the certificate of the hub, one that is offered, and who has not been seen since',
      tag,
      answers: { 200: serverAuthoritySchema },
      handle: async ({ principal }) => answer(principal, allowed(principal, 'serverAuthority.read').status()),
    }),
    route({
      method: 'POST',
      url: `${place}/offer`,
      summary: 'Makes a new authority and offers it beside the current one',
      tag,
      answers: { 200: serverAuthoritySchema },
      handle: async ({ principal }) => answer(principal, await allowed(principal, 'serverAuthority.write').offer()),
    }),
    route({
      method: 'DELETE',
      url: `${place}/offer`,
      summary: 'Takes the offered authority back',
      tag,
      answers: { 200: serverAuthoritySchema },
      handle: async ({ principal }) => answer(principal, await allowed(principal, 'serverAuthority.write').withdraw()),
    }),
    route({
      method: 'POST',
      url: `${place}/switch`,
      summary: 'Signs the certificate of the hub by the offered authority; open connections stay',
      tag,
      body: switchBodySchema,
      answers: { 200: serverAuthoritySchema },
      handle: async ({ principal, body }) => {
        const found = allowed(principal, 'serverAuthority.write');
        const unseen = await unseenOf(principal, found.status());
        if (unseen === null) throw new HubError('PreconditionFailed', 'No authority is offered: offer one first.');
        if (unseen.unseen > 0 && body.force !== true) {
          const text = `${unseen.unseen} of ${unseen.devices} devices have not been seen since the offer, and would not trust the hub.`;
          throw new HubError('PreconditionFailed', text);
        }
        return answer(principal, await found.switchOver());
      },
    }),
  ];
}
