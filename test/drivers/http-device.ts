/** A device that speaks HTTP to the hub of `http.ts`, and what the hub keeps of its telemetry. */
import rhea from 'rhea';
import { signSas } from '../../src/api/sas.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import { RECORD_HEADER_BYTES } from '../../src/wire/amqp/record.ts';
import type { HttpAnswer, HttpHub, RequestMore } from './http.ts';

/** An event as rhea decodes it. */
type Message = ReturnType<typeof rhea.message.decode>;

export interface HttpDevice {
  readonly key: IdentityKey;
  /** `/devices/d1` or the module's, encoded. */
  readonly path: string;
  /** A token of its own key, for an hour or `lifeMs`. */
  token(lifeMs?: number): Promise<string>;
  /** One request with its own token, `path` behind its own one. */
  request(method: string, path: string, more?: RequestMore): Promise<HttpAnswer>;
}

/** Registers the identity (its device too) with a key of its own. */
export async function registerDevice(http: HttpHub, deviceId: string, moduleId?: string): Promise<HttpDevice> {
  const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const secret = Buffer.from(`${deviceId}/${moduleId ?? ''}`.padEnd(32, '.')).toString('base64');
  const authentication = { symmetricKey: { primaryKey: secret, secondaryKey: secret } };
  const api = http.client();
  if (moduleId === undefined) await api.devices.create(deviceId, { authentication });
  else await api.modules.create(deviceId, moduleId, { authentication });
  const device = `/devices/${encodeURIComponent(deviceId)}`;
  const path = moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(moduleId)}`;
  const token = (lifeMs = 3_600_000) =>
    signSas({ resource: `localhost${path}`, key: secret, expiresAt: http.hub.clock.now() + lifeMs });
  return {
    key,
    path,
    token,
    request: async (method, rest, more = {}) =>
      http.request(method, `${path}${rest}`, {
        ...more,
        headers: { authorization: await token(), ...more.headers },
      }),
  };
}

/** Everything in the event log, decoded by another library than the hub's, partition after partition. */
export async function storedEvents({ telemetry }: Pick<HttpHub, 'telemetry'>): Promise<readonly Message[]> {
  const events: Message[] = [];
  for (let partition = 0; partition < telemetry.partitionCount; partition++) {
    for (const run of await telemetry.read(partition, 0, Number.MAX_SAFE_INTEGER)) {
      for (let at = run.start; at < run.end; ) {
        const size = run.bytes.readUInt32LE(at);
        events.push(rhea.message.decode(run.bytes.subarray(at + 4 + RECORD_HEADER_BYTES, at + 4 + size)));
        at += 4 + size;
      }
    }
  }
  return events;
}

/** Text of an event's body. */
export function bodyOf(event: Message): string {
  return Buffer.from((event.body as unknown as { readonly content: Buffer }).content).toString();
}
