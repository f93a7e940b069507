/** Commands as back ends send and follow them: the service's REST calls, and this hub's own under `/mooring/v1`. */
import { z } from 'zod';
import {
  commandDraftSchema,
  deadLettersSchema,
  purgeResultSchema,
  receiptsSchema,
  sentCommandSchema,
  trackedCommandsSchema,
} from '../../api/commands.ts';
import { limits } from '../../base/limits.ts';
import { uuid } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { receiptRecord } from '../shared/receipts.ts';
import { identityKey, unquoteETag } from './addresses.ts';
import {
  commandFromHeaders,
  commandJson,
  commandMessage,
  trackedCommandJson,
  withinAnswer,
} from './command-mapping.ts';
import { type ApiCall, type ApiRoute, bytesRoute, route } from './route.ts';

const feedback = '/messages/serviceBound/feedback';
const TAG = 'commands';

const topQuery = z.object({ top: z.string().optional() });
/** One of the three at most. */
const commandQuery = z.object({
  messageId: z.string().optional(),
  sequence: z.string().optional(),
  top: z.string().optional(),
});

type CommandHub = Pick<Hub, 'commands' | 'clock' | 'random'>;

export function commandRoutes(hub: CommandHub): readonly ApiRoute[] {
  return [
    ...['/devices/:deviceId', '/devices/:deviceId/modules/:moduleId'].flatMap((identity) => [
      purgeRoute(hub, identity),
      sendRoute(hub, identity),
      findRoute(hub, identity),
      deadLettersRoute(hub, identity),
      sendAgainRoute(hub, identity),
    ]),
    bytesRoute({
      method: 'POST',
      url: '/messages/devicebound',
      summary: 'Sends a command; the header iothub-to names the device, iothub-* and iothub-app-* its properties',
      tag: TAG,
      body: 'bytes',
      answers: { 204: null },
      handle: async ({ principal, rawHeaders, body }) => {
        const { target, message } = commandFromHeaders(rawHeaders, body);
        await hub.commands.send(principal, target, message);
        return { status: 204 };
      },
    }),
    // As a console of the emulated service posts it: the path names the device, and a header may not name another.
    ...['/devices/:deviceId', '/devices/:deviceId/modules/:moduleId'].map((identity) =>
      bytesRoute({
        method: 'POST',
        url: `${identity}/messages/devicebound`,
        summary: 'Sends a command to the device or module of the path; headers as for /messages/devicebound',
        tag: TAG,
        body: 'bytes',
        answers: { 204: null },
        handle: async ({ principal, params, rawHeaders, body }) => {
          const { target, message } = commandFromHeaders(rawHeaders, body, identityKey(params));
          await hub.commands.send(principal, target, message);
          return { status: 204 };
        },
      }),
    ),
    route({
      method: 'GET',
      url: feedback,
      summary: 'A batch of receipts, under a lock whose token is the ETag; 204 when none is to be had now',
      tag: TAG,
      answers: { 200: receiptsSchema, 204: null },
      handle: async ({ principal }) => {
        const batch = await hub.commands.takeReceipts(principal);
        if (batch === undefined) return { status: 204 };
        return { status: 200, body: batch.receipts.map(receiptRecord), etag: batch.lockToken };
      },
    }),
    route({
      method: 'DELETE',
      url: `${feedback}/:lockToken`,
      summary: 'Completes a batch of receipts: they are not handed out again',
      tag: TAG,
      answers: { 204: null },
      handle: (call) => settleReceipts(hub, call, 'complete'),
    }),
    bytesRoute({
      method: 'POST',
      url: `${feedback}/:lockToken/abandon`,
      summary: 'Puts a batch of receipts back, for the next reader',
      tag: TAG,
      body: 'bytes',
      answers: { 204: null },
      handle: (call) => settleReceipts(hub, call, 'abandon'),
    }),
  ];
}

function purgeRoute({ commands }: CommandHub, identity: string): ApiRoute {
  return route({
    method: 'DELETE',
    url: `${identity}/commands`,
    summary: 'Purges the queue: all that waits ends as purged',
    tag: TAG,
    answers: { 200: purgeResultSchema },
    handle: async ({ principal, params }) => {
      const target = identityKey(params);
      const totalMessagesPurged = await commands.purge(principal, target);
      return { status: 200, body: { ...target, totalMessagesPurged } };
    },
  });
}

function sendRoute({ commands, clock, random }: CommandHub, identity: string): ApiRoute {
  return route({
    method: 'POST',
    url: `/mooring/v1${identity}/commands`,
    summary: 'Sends a command; it is stored when this is answered',
    tag: TAG,
    body: commandDraftSchema,
    bodyBounds: { valuesMax: limits.httpCommandValuesMax },
    answers: { 201: sentCommandSchema },
    handle: async ({ principal, params, body }) => {
      const target = identityKey(params);
      const messageId = body.messageId ?? uuid(random);
      const { sequence } = await commands.send(principal, target, {
        ...commandMessage(body, clock.now()),
        messageId,
      });
      return { status: 201, body: { ...target, sequence, messageId } };
    },
  });
}

function findRoute({ commands }: CommandHub, identity: string): ApiRoute {
  return route({
    method: 'GET',
    url: `/mooring/v1${identity}/commands`,
    summary:
      'Commands of a message id (or a sequence number), or the newest `top` of them, with every step they took, newest first',
    tag: TAG,
    query: commandQuery,
    answers: { 200: trackedCommandsSchema },
    handle: async ({ principal, params, query: { messageId, sequence, top } }) => {
      if ([messageId, sequence, top].filter((value) => value !== undefined).length > 1) {
        throw new HubError('ArgumentInvalid', 'The query names a messageId, a sequence, or top: one of them at most.');
      }
      const count = Math.min(topOf(top), limits.commandsFoundMax);
      const by =
        messageId !== undefined
          ? { messageId }
          : sequence !== undefined
            ? { sequence: sequenceOf(sequence) }
            : // One more, to know whether there are more.
              { newest: count + 1 };
      const found = await commands.trail(principal, identityKey(params), by);
      const isAll = !('newest' in by) || found.length <= count;
      const shown = isAll ? found : found.slice(0, count);
      const body = withinAnswer(shown.map(({ command, trail }) => trackedCommandJson(command, trail)));
      return { status: 200, body: { ...body, isComplete: body.isComplete && isAll } };
    },
  });
}

function deadLettersRoute({ commands }: CommandHub, identity: string): ApiRoute {
  return route({
    method: 'GET',
    url: `/mooring/v1${identity}/dead-letters`,
    summary: 'Commands that ended otherwise than completed, newest first',
    tag: TAG,
    query: topQuery,
    answers: { 200: deadLettersSchema },
    handle: async ({ principal, params, query }) => {
      const top = topOf(query.top);
      const dead = await commands.deadLetters(principal, identityKey(params));
      const { commands: shown, isComplete } = withinAnswer(dead.slice(0, top).map(commandJson));
      return { status: 200, body: { commands: shown, isComplete: isComplete && dead.length <= top } };
    },
  });
}

function sendAgainRoute({ commands }: CommandHub, identity: string): ApiRoute {
  return route({
    method: 'POST',
    url: `/mooring/v1${identity}/dead-letters/:sequence/send-again`,
    summary: 'Sends a dead letter again, as a new command with a new time-to-live',
    tag: TAG,
    answers: { 201: sentCommandSchema },
    handle: async ({ principal, params }) => {
      const target = identityKey(params);
      const { sequence } = await commands.sendAgain(principal, target, sequenceOf(params.sequence));
      const [sent] = await commands.trail(principal, target, { sequence });
      return { status: 201, body: { ...target, sequence, messageId: sent?.command.message.messageId ?? null } };
    },
  });
}

async function settleReceipts(
  { commands }: CommandHub,
  { principal, params }: ApiCall<unknown, unknown>,
  settlement: 'complete' | 'abandon',
): Promise<{ readonly status: number }> {
  const settled = await commands.settleReceipts(principal, unquoteETag(params.lockToken ?? ''), settlement);
  if (!settled) throw new HubError('DeviceMessageLockLost', 'The lock on these receipts is gone.');
  return { status: 204 };
}

/** @throws HubError ArgumentInvalid */
function sequenceOf(text: string | undefined): number {
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw new HubError('ArgumentInvalid', 'A sequence number is a whole number.');
}

function topOf(text: string | undefined): number {
  const isNumber = text !== undefined && /^\d{1,9}$/.test(text);
  return isNumber ? Math.min(Math.max(Number(text), 1), limits.listPageMax) : limits.commandListDefault;
}
