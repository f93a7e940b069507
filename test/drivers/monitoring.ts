/** Reads monitoring events as a back end does, and plays the devices that cause them. */
import type { IConnectPacket } from 'mqtt-packet';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import type { ReceivedEvent } from '../../src/cli/events/event.ts';
import { readEvents } from '../../src/cli/events/reader.ts';
import { resolveLogin } from '../../src/cli/login/login.ts';
import { apiOf } from './api.ts';
import type { TestHub } from './hub.ts';
import type { MqttPlace } from './mqtt.ts';

const WAIT_MS_MAX = 15_000;

/** The body of a monitoring event. */
export interface Told {
  readonly schemaVersion: number;
  readonly type: string;
  readonly time: string;
  readonly sequenceNumber: number;
  readonly deviceId?: string;
  readonly [field: string]: unknown;
}

/** Reads `<hub>-monitoring` over AMQP from its start (or telemetry's event hub), and keeps what has come. */
export class MonitoringReader implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #messages: ReceivedEvent[] = [];
  readonly #audit: ReceivedEvent[] = [];
  #taken = 0;
  #wake: () => void = () => {};
  #end: Promise<void> = Promise.resolve();
  #failure: unknown;

  static async open(hub: TestHub, stream: 'monitoring' | 'telemetry' = 'monitoring'): Promise<MonitoringReader> {
    const reader = new MonitoringReader();
    const login = resolveLogin({ dataDir: hub.dataDir }, { env: {}, cwd: '/' });
    await new Promise<void>((resolve, reject) => {
      reader.#end = reader
        .#read(
          readEvents({
            login,
            stream,
            consumerGroup: '$Default',
            from: { kind: 'start' },
            stop: reader.#stop.signal,
            onStatus: () => resolve(),
          }),
        )
        .catch(reject);
    });
    return reader;
  }

  /** Everything that has come so far, in order. */
  all(): readonly Told[] {
    return this.#messages.map(toldOf);
  }

  /** What back ends have changed over REST, this test's own among them: told apart, because most tests are about something else. */
  audit(): readonly Told[] {
    return this.#audit.map(toldOf);
  }

  /** The next event behind those taken that matches; others in between are passed over. */
  async next(matches: (event: Told) => boolean): Promise<Told> {
    return toldOf(await this.nextMessage(matches));
  }

  async nextMessage(matches: (event: Told) => boolean): Promise<ReceivedEvent> {
    const deadline = Date.now() + WAIT_MS_MAX;
    for (;;) {
      while (this.#taken < this.#messages.length) {
        const message = this.#messages[this.#taken++];
        if (matches(toldOf(message))) return message;
      }
      await this.#arrival(deadline, matches);
    }
  }

  /** The next `count` events that match. */
  async take(count: number, matches: (event: Told) => boolean): Promise<readonly Told[]> {
    const found: Told[] = [];
    while (found.length < count) found.push(await this.next(matches));
    return found;
  }

  /** Resolves when what has come satisfies `holds`. */
  async until(holds: (all: readonly Told[]) => boolean): Promise<readonly Told[]> {
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!holds(this.all())) await this.#arrival(deadline, holds);
    return this.all();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#end;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(batches: AsyncIterable<readonly ReceivedEvent[]>): Promise<void> {
    try {
      for await (const batch of batches) {
        for (const message of batch) (isAudit(message) ? this.#audit : this.#messages).push(message);
        this.#wake();
      }
    } catch (error) {
      this.#failure = error;
      this.#wake();
      throw error;
    }
  }

  async #arrival(deadline: number, what: unknown): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      timer = setTimeout(
        () => {
          const told = this.all()
            .slice(-30)
            .map((event) => JSON.stringify(event));
          reject(new Error(`no such event came: ${String(what)}\n${told.join('\n')}`));
        },
        Math.max(0, deadline - Date.now()),
      );
    }).finally(() => clearTimeout(timer));
  }
}

function toldOf(message: ReceivedEvent): Told {
  return JSON.parse(message.body.toString()) as Told;
}

const isAudit = ({ body }: ReceivedEvent): boolean => body.includes('"type":"operationDone"');

/** Plain MQTT on loopback. */
export const devicePlace = (hub: TestHub): MqttPlace => ({ port: hub.endpoints.ports.mqtt ?? 0 });

export interface PlayedDevice {
  readonly key: string;
  token(expiresAt?: number): Promise<string>;
  /** Fields of a CONNECT; by default with a good token. */
  connect(changes?: { readonly deviceId?: string; readonly token?: string }): Promise<Partial<IConnectPacket>>;
  put(changes: { readonly status: 'enabled' | 'disabled'; readonly statusReason?: string }): Promise<void>;
  delete(): Promise<void>;
}

export function tokenOf(deviceId: string, key: string, hostName: string, expiresAt = Date.now() + 3600_000) {
  return signSas({ resource: `${hostName}/devices/${deviceId}`, key, expiresAt });
}

/** Creates a device in the registry. */
export async function withDevice(hub: TestHub, deviceId: string): Promise<PlayedDevice> {
  const { hostName } = hub.endpoints;
  const call = async <Answer>(work: (api: ApiClient) => Promise<Answer>): Promise<Answer> => {
    const api = apiOf(hub);
    try {
      return await work(api);
    } finally {
      api.close();
    }
  };
  const created = await call((api) => api.devices.create(deviceId));
  const key = created.authentication.symmetricKey.primaryKey ?? '';
  const token = (expiresAt?: number): Promise<string> => tokenOf(deviceId, key, hostName, expiresAt);
  return {
    key,
    token,
    async connect(changes = {}) {
      const id = changes.deviceId ?? deviceId;
      return {
        clientId: id,
        username: `${hostName}/${id}/?api-version=2021-04-12`,
        password: Buffer.from(changes.token ?? (await token())),
      };
    },
    put: (changes) =>
      call(async (api) => {
        const { authentication } = await api.devices.get(deviceId);
        await api.devices.update(deviceId, { authentication, ...changes });
      }),
    delete: () => call((api) => api.devices.delete(deviceId)),
  };
}
