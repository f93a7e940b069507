/** The Event Hubs SDKs that read telemetry, beside `@azure/event-hubs` and `azure-eventhub` of today (telemetry.test.ts). */
import type { Language } from './programs.ts';

export interface ReaderSdk {
  /** The package by its own name; of an older one with the major version by which it is pinned here. */
  readonly name: string;
  readonly language: Language;
  readonly script: string;
  readonly transports: readonly ReaderTransport[];
  /** It can also share the partitions among several readers, which keep checkpoints. */
  readonly processor?: string;
  /** A part of the job: the folder of older/ from which the script loads the package. */
  readonly folder?: string;
}

export interface ReaderTransport {
  readonly name: 'TLS, port 5671' | 'WebSocket, port 443' | 'plain, port 5672';
  /** Which of the hub's connection strings it is given. */
  readonly connection: 'eventHubs' | 'eventHubsEmulator' | 'service';
  /** As the script's job says it. */
  readonly transport?: 'WebSocket';
}

const tls: ReaderTransport = { name: 'TLS, port 5671', connection: 'eventHubs' };
const webSocket: ReaderTransport = { name: 'WebSocket, port 443', connection: 'eventHubs', transport: 'WebSocket' };
const emulator: ReaderTransport = { name: 'plain, port 5672', connection: 'eventHubsEmulator' };
/** The hub's own connection string, from which the reader is redirected. */
const redirected: ReaderTransport = { name: 'TLS, port 5671', connection: 'service' };

export const readerSdks: readonly ReaderSdk[] = [
  {
    name: 'azure-messaging-eventhubs (Maven)',
    language: 'Java',
    script: 'java:events',
    transports: [tls, webSocket],
    processor: 'EventProcessorClient',
  },
  {
    name: 'azeventhubs/v2 (Go)',
    language: 'Go',
    script: 'go:events',
    transports: [tls, webSocket, emulator],
    processor: 'Processor',
  },
  {
    name: 'azure_messaging_eventhubs (crates.io)',
    language: 'Rust',
    script: 'rust:events',
    transports: [tls, webSocket],
    processor: 'EventProcessor',
  },
  { name: 'azure-eventhub 5.11 (PyPI)', language: 'Python', script: '5.11:events-read.py', transports: [tls] },
  { name: 'azure-eventhub 5.6 (PyPI)', language: 'Python', script: '5.6:events-read.py', transports: [tls] },
  {
    name: '@azure/event-hubs 2 (npm)',
    language: 'JavaScript',
    script: 'events-read-hub.mjs',
    transports: [redirected],
    folder: 'event-hubs-2',
  },
  {
    name: '@azure/event-hubs 1 (npm)',
    language: 'JavaScript',
    script: 'events-read-hub.mjs',
    transports: [redirected],
    folder: 'event-hubs-1',
  },
];
