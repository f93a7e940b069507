/** The device SDKs with the storage libraries by which their applications upload. */
import type { TestHub } from '../../test/drivers/hub.ts';
import { Client, succeeded } from './client.ts';
import { hostFor } from './device-sdks.ts';
import type { Device } from './hub.ts';
import { type Language, missing } from './programs.ts';

export interface FileSdk {
  /** The device SDK's package, by its own name. */
  readonly name: string;
  readonly language: Language;
  /** As the SDK names it; an upload takes HTTPS beside it. */
  readonly transport: string;
  readonly script: string;
  /** What does the upload, as a row of docs/compatibility.md says it. */
  readonly by: string;
  /** Further arguments of the client's `upload`. */
  readonly options: readonly unknown[];
  /** The same for an upload of `BLOCKS_AT_ONCE` blocks of `BLOCK_BYTES` at once, where the library can be told so. */
  readonly inBlocks?: readonly unknown[];
}

export const BLOCKS_AT_ONCE = 20;
export const BLOCK_BYTES = 256 * 1024;

const npm = { name: 'azure-iot-device (npm)', language: 'JavaScript', transport: 'Mqtt', script: 'files.mjs' } as const;
const python = { name: 'azure-iot-device (PyPI)', language: 'Python', transport: 'Mqtt', script: 'files.py' } as const;
const java = { name: 'iot-device-client (Maven)', language: 'Java', transport: 'MQTT', script: 'java:files' } as const;
const KIB = 1024;

export const fileSdks: readonly FileSdk[] = [
  { ...npm, by: 'uploadToBlob', options: [] },
  { ...python, by: 'azure-storage-blob in one piece', options: [{}] },
  {
    ...python,
    by: 'azure-storage-blob in blocks',
    options: [{ max_single_put_size: 4 * KIB, max_block_size: BLOCK_BYTES }],
    inBlocks: [{ max_single_put_size: 4 * KIB, max_block_size: BLOCK_BYTES }, BLOCKS_AT_ONCE],
  },
  {
    ...java,
    by: 'azure-storage 8',
    options: ['azure-storage'],
    inBlocks: ['azure-storage', BLOCK_BYTES, BLOCKS_AT_ONCE],
  },
  {
    ...java,
    by: 'azure-storage-blob 12',
    options: ['azure-storage-blob'],
    inBlocks: ['azure-storage-blob', BLOCK_BYTES, BLOCKS_AT_ONCE],
  },
];

const UPLOAD_MS_MAX = 300_000;

/** One device in a process of its own, logged in. */
export class FileUploader implements AsyncDisposable {
  readonly #client: Client;
  readonly #sdk: FileSdk;

  /** @throws Error when the SDK is not installed: ask `missing` first */
  static async start(sdk: FileSdk, hub: TestHub, device: Device, more: object = {}): Promise<FileUploader> {
    const why = missing(sdk.language);
    if (why !== undefined) throw new Error(why);
    const connectionString = hostFor(sdk.language, device.connectionString);
    const job = { connectionString, transport: sdk.transport, ...more };
    const client = Client.start(sdk.script, hub.endpoints.caFile, job);
    await client.next('ready');
    await client.must('open');
    return new FileUploader(sdk, client);
  }

  private constructor(sdk: FileSdk, client: Client) {
    this.#sdk = sdk;
    this.#client = client;
  }

  /** Resolves when the SDK has said that the upload has ended. @throws Error with the SDK's own error name and message */
  async upload(name: string, file: string, options = this.#sdk.options): Promise<void> {
    succeeded('upload', await this.#client.callWithin(UPLOAD_MS_MAX, 'upload', name, file, ...options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.stop();
  }
}
