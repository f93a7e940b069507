/** The door of devices and modules that speak HTTP (device reference 4.1, 4.2): telemetry, and commands by polling. */
import { z } from 'zod';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Hub } from '../../core/hub.ts';
import { identityKey, unquoteETag } from './addresses.ts';
import { asksToReject, commandHeaders, lockMsOf, telemetryOf } from './device-mapping.ts';
import { type ApiAnswer, type ApiCall, type ApiRoute, bytesRoute, route } from './route.ts';

/** A request holds no connection that could be lost, so commands are held under their lock alone. */
const NO_HOLDER = '';

const anyQuery = z.looseObject({});
type AnyQuery = z.output<typeof anyQuery>;

/** A request does not claim presence: that would end the device's connection by another protocol. */
export function deviceRoutes(hub: Pick<Hub, 'events' | 'commands'>): readonly ApiRoute[] {
  const settle = async (call: ApiCall<unknown, unknown>, settlement: Settlement): Promise<ApiAnswer> => {
    const inbox = hub.commands.openInbox(call.principal, identityKey(call.params), NO_HOLDER);
    await inbox.settle(unquoteETag(call.params.lockToken ?? ''), settlement);
    return { status: 204 };
  };

  const routesOf = (identity: string, whose: string): readonly ApiRoute[] => [
    bytesRoute({
      method: 'POST',
      url: `${identity}/messages/events`,
      caller: 'device',
      summary: `Telemetry of a ${whose}, one message or a batch (application/vnd.microsoft.iothub.json)`,
      tag: 'device messages',
      body: 'bytes',
      answers: { 204: null },
      handle: async ({ principal, params, rawHeaders, body }) => {
        const sender = hub.events.openSender(principal, identityKey(params), { via: { protocol: 'http' } });
        // Resolves when all of it is on disk.
        await hub.events.send(sender, telemetryOf(rawHeaders, body));
        return { status: 204 };
      },
    }),
    route({
      method: 'GET',
      url: `${identity}/messages/devicebound`,
      caller: 'device',
      summary: `The next command to a ${whose}, under a lock whose token is the ETag; 204 when none waits`,
      tag: 'device messages',
      query: anyQuery,
      answers: { 200: 'bytes', 204: null },
      handle: async ({ principal, params, rawHeaders, query }) => {
        const inbox = hub.commands.openInbox(principal, identityKey(params), NO_HOLDER);
        const [command] = await inbox.take(1, { lockMs: lockMsOf(rawHeaders, query) });
        if (command === undefined || command.state.kind !== 'locked') return { status: 204 };
        return {
          status: 200,
          etag: command.state.lockToken,
          headers: commandHeaders(command),
          bytes: command.message.body,
        };
      },
    }),
    route<unknown, AnyQuery>({
      method: 'DELETE',
      url: `${identity}/messages/devicebound/:lockToken`,
      caller: 'device',
      summary: 'Completes a command, or rejects it with the query parameter reject',
      tag: 'device messages',
      body: undefined,
      query: anyQuery,
      answers: { 204: null },
      handle: (call) => settle(call, asksToReject(call.query) ? 'reject' : 'complete'),
    }),
    bytesRoute({
      method: 'POST',
      url: `${identity}/messages/devicebound/:lockToken/abandon`,
      caller: 'device',
      summary: 'Puts a command back into the queue',
      tag: 'device messages',
      // Java sends a byte.
      body: 'bytes',
      answers: { 204: null },
      handle: (call) => settle(call, 'abandon'),
    }),
  ];
  return [...routesOf('/devices/:deviceId', 'device'), ...routesOf('/devices/:deviceId/modules/:moduleId', 'module')];
}
