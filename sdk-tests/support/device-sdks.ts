/** The device SDKs and their transports: each test of a device runs once for each pair. */
import type { TestHub } from '../../test/drivers/hub.ts';
import { Client, type ClientEvent, type SdkError, succeeded } from './client.ts';
import type { Device } from './hub.ts';
import { type Language, missing } from './programs.ts';

export type CommandAnswer = 'complete' | 'reject' | 'abandon';

export interface DeviceSdk {
  /** The package by its own name. */
  readonly name: string;
  readonly language: Language;
  readonly script: string;
  readonly transports: readonly DeviceTransport[];
}

/** One way of one SDK to reach the hub. */
export interface DeviceTransport {
  /** As the SDK names it. */
  readonly name: string;
  /** The outcomes that it can give a command. */
  readonly answers: readonly CommandAnswer[];
  /** It has no connection that could be lost, and no token that could end between two requests. */
  readonly requests?: boolean;
  /** It can log in by a certificate. */
  readonly certificates?: boolean;
  /** What the SDK leaves in front of the names of a command's properties. */
  readonly propertyPrefix?: string;
}

const BURST_MS_MAX = 300_000;

const all: readonly CommandAnswer[] = ['complete', 'reject', 'abandon'];
/** MQTT has PUBACK and nothing else (device reference 5.1). */
const mqtt: readonly CommandAnswer[] = ['complete'];

export const deviceSdks: readonly DeviceSdk[] = [
  {
    name: 'azure-iot-device (npm)',
    language: 'JavaScript',
    script: 'devices.mjs',
    transports: [
      { name: 'Mqtt', answers: mqtt, certificates: true },
      { name: 'MqttWs', answers: mqtt, certificates: true },
      { name: 'Amqp', answers: all, certificates: true },
      { name: 'AmqpWs', answers: all, certificates: true },
      { name: 'Http', answers: all, requests: true, certificates: true, propertyPrefix: 'iothub-app-' },
    ],
  },
  {
    name: 'azure-iot-device (PyPI)',
    language: 'Python',
    script: 'devices.py',
    transports: [
      { name: 'Mqtt', answers: mqtt, certificates: true },
      { name: 'MqttWs', answers: mqtt, certificates: true },
    ],
  },
  {
    name: 'iot-device-client (Maven)',
    language: 'Java',
    script: 'java:devices',
    transports: [
      { name: 'MQTT', answers: mqtt, certificates: true },
      { name: 'MQTT_WS', answers: mqtt, certificates: true },
      { name: 'AMQPS', answers: all, certificates: true },
      { name: 'AMQPS_WS', answers: all, certificates: true },
      { name: 'HTTPS', answers: all, requests: true, certificates: true },
    ],
  },
];

export interface Wish {
  readonly text?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
}

export interface OpenOptions {
  /** Life of the tokens that the SDK makes; it renews them before their end. Absent = the SDK's own, an hour. */
  readonly tokenSeconds?: number;
  readonly noRetry?: boolean;
  /** The connection string is a module's. */
  readonly isModule?: boolean;
  /** The device logs in by this certificate, PEM: its own first, then those above it. Its connection string holds no key. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
  /** The application logs in again when the SDK has given up (npm only). */
  readonly comesBack?: boolean;
  /** As `receive`, but from before the login on: what waits is delivered at once, and lost where nobody listens. */
  readonly outcomes?: readonly (CommandAnswer | 'keep')[];
}

/** A command as the SDK showed it to the device's application. */
export interface SeenCommand extends ClientEvent {
  readonly device: string;
  readonly outcome: string;
  readonly at: number;
  readonly messageId: string;
  readonly correlationId: string;
  /** Base64. */
  readonly body: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** Many devices of one SDK in a process of their own. */
export class DeviceProcess implements AsyncDisposable {
  readonly sdk: DeviceSdk;
  readonly client: Client;

  /** @throws Error when the SDK is not installed: ask `missing` first */
  static async start(sdk: DeviceSdk, hub: TestHub): Promise<DeviceProcess> {
    const why = missing(sdk.language);
    if (why !== undefined) throw new Error(why);
    const client = Client.start(sdk.script, hub.endpoints.caFile, {});
    await client.next('ready');
    return new DeviceProcess(sdk, client);
  }

  private constructor(sdk: DeviceSdk, client: Client) {
    this.sdk = sdk;
    this.client = client;
  }

  /** Logs a device in. @throws Error with the SDK's own error name and message */
  async open(device: Device, transport: DeviceTransport, options: OpenOptions = {}): Promise<void> {
    await this.client.must('open', device.deviceId, this.#job(device, transport, options));
  }

  /** The error that a login is refused with; undefined = it was not. */
  async refusal(device: Device, transport: DeviceTransport, options: OpenOptions = {}): Promise<SdkError | undefined> {
    const job = this.#job(device, transport, { noRetry: true, ...options });
    const { error } = await this.client.call('open', device.deviceId, job);
    return error;
  }

  send(deviceId: string, wish: Wish): Promise<void> {
    return this.client.must('send', deviceId, wish);
  }

  /** Commands arrive as events `command`, their settling as `settled` or `not settled`. */
  receive(deviceId: string, ...answers: readonly (CommandAnswer | 'keep')[]): Promise<void> {
    return this.client.must('receive', deviceId, answers);
  }

  /** Sends messages 0 to count - 1 of each device, all devices side by side, `window` under way at a time for each. */
  async burst(deviceIds: readonly string[], count: number, window: number): Promise<void> {
    succeeded('burst', await this.client.callWithin(BURST_MS_MAX, 'burst', deviceIds, 0, count, window));
  }

  close(deviceId: string): Promise<void> {
    return this.client.must('close', deviceId);
  }

  async command(deviceId: string, messageId: string, timeoutMs?: number): Promise<SeenCommand> {
    const match = (event: ClientEvent): boolean => event.device === deviceId && event.messageId === messageId;
    return (await this.client.next('command', timeoutMs, match)) as SeenCommand;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.stop();
  }

  #job(device: Device, transport: DeviceTransport, options: OpenOptions): object {
    const connectionString = hostFor(this.sdk.language, device.connectionString);
    return { connectionString, transport: transport.name, ...options };
  }
}

/** Java refuses a host without a dot (device reference 1.1); the certificate names this address as well. */
export function hostFor(language: Language, connectionString: string): string {
  return language === 'Java' ? connectionString.replace('HostName=localhost', 'HostName=127.0.0.1') : connectionString;
}
