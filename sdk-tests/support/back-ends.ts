/** The service SDKs that send commands and read receipts, and their transports. */
import type { TestHub } from '../../test/drivers/hub.ts';
import { Client, type ClientEvent, type SdkError, succeeded } from './client.ts';
import { type Language, missing } from './programs.ts';

export interface BackEndSdk {
  /** The package by its own name. */
  readonly name: string;
  readonly language: Exclude<Language, 'Go' | 'Rust'>;
  readonly script: string;
  /** As the SDK names them. */
  readonly transports: readonly string[];
}

const SEND_MS_MAX = 300_000;

export const iothub: BackEndSdk = {
  name: 'azure-iothub (npm)',
  language: 'JavaScript',
  script: 'back-end.mjs',
  transports: ['Amqp', 'AmqpWs'],
};

export const backEndSdks: readonly BackEndSdk[] = [
  iothub,
  {
    name: 'iot-service-client (Maven)',
    language: 'Java',
    script: 'java:back-end',
    transports: ['AMQPS', 'AMQPS_WS'],
  },
];

export interface CommandWish {
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly text?: string;
  /** A body of that many bytes instead of `text`. */
  readonly bodyBytes?: number;
  readonly properties?: Readonly<Record<string, string>>;
  readonly ack?: 'none' | 'positive' | 'negative' | 'full';
  /** From the moment of sending; absent = the hub's default. */
  readonly expiresInMs?: number;
}

/** One record of a feedback batch. */
export interface SeenReceipt extends ClientEvent {
  readonly originalMessageId: string;
  readonly deviceId: string;
  readonly deviceGenerationId: string;
  readonly statusCode: 'Success' | 'Expired' | 'DeliveryCountExceeded' | 'Rejected' | 'Purged';
  readonly description: string;
}

/** What a service SDK shows of an upload. */
export interface SeenFileNotification extends ClientEvent {
  readonly deviceId: string;
  readonly blobName: string;
  readonly blobUri: string;
  readonly blobSizeInBytes: number;
}

/** A back end in a process of its own. */
export class BackEnd implements AsyncDisposable {
  readonly client: Client;

  /** @param noRetry a command whose sending fails is not sent again by the SDK */
  static async start(
    hub: TestHub,
    sdk: BackEndSdk = iothub,
    transport = sdk.transports[0],
    noRetry = false,
  ): Promise<BackEnd> {
    const why = missing(sdk.language);
    if (why !== undefined) throw new Error(why);
    const own = hub.endpoints.connectionStrings.iothubowner;
    // Java refuses a host without a dot (device reference 1.1); the certificate names this address as well.
    const connectionString = sdk.language === 'Java' ? own.replace('HostName=localhost', 'HostName=127.0.0.1') : own;
    const client = Client.start(sdk.script, hub.endpoints.caFile, { connectionString, transport, noRetry });
    await client.next('ready');
    await client.must('open');
    return new BackEnd(client);
  }

  private constructor(client: Client) {
    this.client = client;
  }

  /** Resolves when the hub has accepted the command. @throws Error with the SDK's own error name and message */
  send(deviceId: string, wish: CommandWish): Promise<void> {
    return this.client.must('send', deviceId, wish);
  }

  /**
   * Sends commands in their order, `window` under way at a time (azure-iothub only). Of each: an event `sent` with its
   * message id and its error or null. Resolves when all have ended.
   */
  async sendAll(wishes: readonly (readonly [deviceId: string, wish: CommandWish])[], window: number): Promise<void> {
    succeeded('sendAll', await this.client.callWithin(SEND_MS_MAX, 'sendAll', wishes, window));
  }

  async refusal(deviceId: string, wish: CommandWish): Promise<SdkError | undefined> {
    return (await this.client.call('send', deviceId, wish)).error;
  }

  /** Receipts arrive as events `receipt`. */
  receiveReceipts(): Promise<void> {
    return this.client.must('receiveReceipts');
  }

  async receipt(messageId: string, timeoutMs?: number): Promise<SeenReceipt> {
    const match = (event: ClientEvent): boolean => event.originalMessageId === messageId;
    return (await this.client.next('receipt', timeoutMs, match)) as SeenReceipt;
  }

  /** Notifications of uploads arrive as events `file notification`. */
  receiveFileNotifications(): Promise<void> {
    return this.client.must('receiveFileNotifications');
  }

  async fileNotification(deviceId: string, blobName: string): Promise<SeenFileNotification> {
    const match = (event: ClientEvent): boolean => event.deviceId === deviceId && event.blobName === blobName;
    return (await this.client.next('file notification', 60_000, match)) as SeenFileNotification;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.stop();
  }
}
