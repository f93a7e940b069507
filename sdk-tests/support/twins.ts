/** The service SDKs that read and change twins and invoke methods: all of it over HTTPS. */
import type { TestHub } from '../../test/drivers/hub.ts';
import { Client } from './client.ts';
import { type Language, missing } from './programs.ts';

export interface TwinSdk {
  /** The package by its own name. */
  readonly name: string;
  readonly language: Language;
  readonly script: string;
  /** As the tests of its other REST calls name it. */
  readonly transport: 'REST' | 'HTTPS';
  /** It can say null in place of a section. */
  readonly sendsNullSections: boolean;
}

export const twinSdks: readonly TwinSdk[] = [
  {
    name: 'azure-iothub (npm)',
    language: 'JavaScript',
    script: 'twins-back-end.mjs',
    transport: 'REST',
    sendsNullSections: true,
  },
  {
    name: 'azure-iot-hub (PyPI)',
    language: 'Python',
    script: 'twins-back-end.py',
    transport: 'HTTPS',
    sendsNullSections: false,
  },
  {
    name: 'iot-service-client (Maven)',
    language: 'Java',
    script: 'java:twins-back-end',
    transport: 'HTTPS',
    sendsNullSections: false,
  },
];

/** A twin as far as every SDK shows it. */
export interface SeenTwin {
  readonly etag: string;
  readonly version: number;
  readonly tags: Readonly<Record<string, unknown>>;
  readonly properties: {
    readonly desired: Readonly<Record<string, unknown>>;
    readonly reported: Readonly<Record<string, unknown>>;
  };
}

export interface MethodWish {
  readonly methodName: string;
  readonly payload?: unknown;
  readonly responseTimeoutInSeconds?: number;
  readonly connectTimeoutInSeconds?: number;
}

/** A back end in a process of its own. `moduleId` undefined = the device itself. */
export class TwinBackEnd implements AsyncDisposable {
  readonly client: Client;

  static async start(hub: TestHub, sdk: TwinSdk): Promise<TwinBackEnd> {
    const why = missing(sdk.language);
    if (why !== undefined) throw new Error(why);
    const own = hub.endpoints.connectionStrings.iothubowner;
    // Java refuses a host without a dot (device reference 1.1); the certificate names this address as well.
    const connectionString = sdk.language === 'Java' ? own.replace('HostName=localhost', 'HostName=127.0.0.1') : own;
    const client = Client.start(sdk.script, hub.endpoints.caFile, { connectionString });
    await client.next('ready');
    return new TwinBackEnd(client);
  }

  private constructor(client: Client) {
    this.client = client;
  }

  get(deviceId: string, moduleId?: string): Promise<SeenTwin> {
    return this.client.must('get', deviceId, moduleId ?? null);
  }

  /** @param etag of the twin that is changed, or `*` */
  patch(deviceId: string, change: object, etag = '*', moduleId?: string): Promise<SeenTwin> {
    return this.client.must('patch', deviceId, moduleId ?? null, change, etag);
  }

  invoke(
    deviceId: string,
    wish: MethodWish,
    moduleId?: string,
  ): Promise<{ readonly status: number; readonly payload: unknown }> {
    return this.client.must('invoke', deviceId, moduleId ?? null, wish);
  }

  /** All rows of a query, page by page as the SDK tells them; Java's turns pages by itself, and tells one. */
  query<Row>(text: string, pageSize: number, kind: 'twins' | 'raw'): Promise<readonly (readonly Row[])[]> {
    return this.client.must('query', text, pageSize, kind);
  }

  /** What the SDK makes of a refusal, with the hub's answer in it: class, message, body. Undefined = it was none. */
  async refusal(
    op:
      | 'patch'
      | 'replace'
      | 'invoke'
      | 'get'
      | 'query'
      | 'configuration'
      | 'exportRegistry'
      | 'importRegistry'
      | 'registryJob',
    ...args: readonly unknown[]
  ): Promise<string | undefined> {
    const { error } = await this.client.call(op, ...args);
    return error && `${error.name}: ${error.message} ${error.code ?? ''}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.stop();
  }
}
