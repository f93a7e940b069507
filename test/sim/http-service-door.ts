/** Back ends, and devices that fetch, over the routes of the HTTP door. */
import type { CommandOutcome } from '../../src/core/commands/types.ts';
import { type ErrorCode, HubError } from '../../src/core/errors.ts';
import type { DeviceCredential } from './directory.ts';
import { type HttpAnswer, HttpClient, type HttpRequest } from './http-client.ts';
import { type HubHost, NoAnswer } from './hub-host.ts';
import { deviceToken, type SeenIdentity, type SeenReceipt, type ServiceDoor } from './service-door.ts';
import type { World } from './world.ts';

const VERSION = 'api-version=2021-04-12';
const FEEDBACK = '/messages/serviceBound/feedback';

const outcomes: Readonly<Record<string, CommandOutcome>> = {
  Success: 'completed',
  Rejected: 'rejected',
  Expired: 'expired',
  DeliveryCountExceeded: 'deliveryCountExceeded',
  Purged: 'purged',
};

/** @param name of the actor: it has a connection of its own */
export function httpServiceDoor(world: World, host: HubHost, name: string): ServiceDoor {
  const client = new HttpClient(world, host, name);
  const dice = world.dice(`${name} chooses routes`);
  const ask = (request: Omit<HttpRequest, 'token'>): Promise<HttpAnswer> => {
    const token = host.policyToken('iothubowner');
    if (token === undefined) throw new NoAnswer('the hub has never run');
    return answered(client, { ...request, token });
  };
  const ifMatchHeader = (etag: string) => [['If-Match', etag === '*' ? '*' : `"${etag}"`]] as const;
  const pathOf = (deviceId: string, rest = '') => `/devices/${deviceId}${rest}?${VERSION}`;
  return {
    getIdentity: async (deviceId) => seenIdentity(await ask({ method: 'GET', path: pathOf(deviceId) })),
    async putIdentity(draft, ifMatch) {
      const headers = ifMatch === undefined ? [] : ifMatchHeader(ifMatch);
      const body = Buffer.from(JSON.stringify(draft));
      return seenIdentity(await ask({ method: 'PUT', path: pathOf(draft.deviceId), headers, body }));
    },
    async deleteIdentity(deviceId, ifMatch) {
      await ask({ method: 'DELETE', path: pathOf(deviceId), headers: ifMatchHeader(ifMatch) });
    },
    async sendCommand(deviceId, { messageId, ack = 'none', expiry, body }) {
      if (dice.chance(0.5)) {
        const draft = { messageId, ack, bodyText: Buffer.from(body).toString(), ...timeOf('expiryTimeUtc', expiry) };
        const path = `/mooring/v1/devices/${deviceId}/commands`;
        const answer = await ask({ method: 'POST', path, body: Buffer.from(JSON.stringify(draft)) });
        return JSON.parse(answer.body.toString()).sequence;
      }
      const headers = {
        ...{ 'iothub-to': `/devices/${deviceId}/messages/devicebound`, 'iothub-messageid': messageId },
        ...{ 'iothub-ack': ack, ...timeOf('iothub-expiry', expiry) },
      };
      const path = `/messages/devicebound?${VERSION}`;
      await ask({ method: 'POST', path, headers: Object.entries(headers), body: Buffer.from(body) });
      return undefined;
    },
    async purge(deviceId) {
      await ask({ method: 'DELETE', path: pathOf(deviceId, '/commands') });
    },
    async readReceipts(decide, settled) {
      const answer = await ask({ method: 'GET', path: `${FEEDBACK}?${VERSION}` });
      if (answer.status === 204) return;
      const receipts = receiptsOf(answer.body);
      const settlement = decide(receipts);
      if (settlement === undefined) return;
      const lock = `${FEEDBACK}/${unquoted(answer)}`;
      if (settlement === 'complete') await ask({ method: 'DELETE', path: `${lock}?${VERSION}` });
      else await ask({ method: 'POST', path: `${lock}/abandon?${VERSION}`, body: Buffer.alloc(0) });
      settled(receipts, settlement);
    },
    async fetchCommand(deviceId, credential, decide, settled) {
      const own = deviceCaller(world, client, deviceId, credential);
      const commands = `/devices/${deviceId}/messages/devicebound`;
      const answer = await own({ method: 'GET', path: commands });
      if (answer.status === 204) return;
      const fetched = { messageId: answer.body.toString(), again: undefined };
      const settlement = await decide(fetched);
      const lock = `${commands}/${unquoted(answer)}`;
      if (settlement === 'abandon') await own({ method: 'POST', path: `${lock}/abandon`, body: Buffer.alloc(0) });
      else await own({ method: 'DELETE', path: settlement === 'reject' ? `${lock}?reject` : lock });
      settled(fetched, settlement);
    },
  };
}

/** Asks as the device itself does. */
export function deviceCaller(
  world: World,
  client: HttpClient,
  deviceId: string,
  credential: DeviceCredential,
): (request: Omit<HttpRequest, 'token'>) => Promise<HttpAnswer> {
  return (request) => answered(client, { ...request, token: deviceToken(world, deviceId, credential) });
}

/** @throws HubError for what was refused, NoAnswer for what was not answered or has failed inside the hub. */
async function answered(client: HttpClient, request: HttpRequest): Promise<HttpAnswer> {
  const answer = await client.request(request);
  if (answer.status < 300) return answer;
  if (answer.status === 500) throw new NoAnswer('the hub has failed');
  throw new HubError((answer.headers.get('iothub-errorcode') ?? 'ServerError') as ErrorCode);
}

function seenIdentity({ body }: HttpAnswer): SeenIdentity {
  const { etag, generationId, status, statusReason, authentication } = JSON.parse(body.toString());
  return { etag, generationId, status, tag: statusReason ?? '', key: authentication.symmetricKey.primaryKey };
}

/** Records of a feedback message, in the service's words. */
export function receiptsOf(body: Buffer): readonly SeenReceipt[] {
  const records = JSON.parse(body.toString()) as Readonly<Record<string, string>>[];
  return records.map(({ originalMessageId, deviceId, statusCode }) => {
    return { originalMessageId, deviceId, outcome: outcomes[statusCode], sequence: undefined };
  });
}

function timeOf(name: string, time: number | undefined): Readonly<Record<string, string>> {
  return time === undefined ? {} : { [name]: new Date(time).toISOString() };
}

function unquoted({ headers }: HttpAnswer): string {
  return (headers.get('etag') ?? '').replaceAll('"', '');
}
