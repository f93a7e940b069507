import { Failure } from '../failure.ts';
import type { EventConnection } from './connection.ts';

/** What a hub tells in events: what devices send, and what happens between them and the hub. */
export type EventStreamName = 'telemetry' | 'monitoring';

const addresses: Readonly<Record<EventStreamName, string>> = {
  telemetry: 'messages/events/',
  monitoring: 'messages/operationsMonitoringEvents/',
};

/** The event hub that carries it, of a hub whose name is known. */
export const eventHubOf = (hubName: string, stream: EventStreamName): string =>
  stream === 'telemetry' || hubName.endsWith('-monitoring') ? hubName : `${hubName}-monitoring`;

/**
 * Asks the hub which event hub carries the stream: a receiver on the hub's own address is redirected to it (service
 * reference 6). Needs no more than ServiceConnect, which reading needs anyway.
 */
export function findEventHub(connection: EventConnection, stream: EventStreamName): Promise<string> {
  return new Promise((resolve, reject) => {
    void connection.ended.then(reject);
    connection.receive({
      address: addresses[stream],
      onEvent: () => {},
      onEnd: (failure, { receiver }) => {
        const info: unknown = (receiver?.error as { info?: unknown } | undefined)?.info;
        const address = (info as Record<string, unknown> | undefined)?.address;
        const match = typeof address === 'string' ? /^amqps?:\/\/[^/]+\/([^/]+)/.exec(address) : null;
        if (match !== null) resolve(decodeURIComponent(match[1]));
        else if (failure.code === 'amqp:link:redirect') reject(new Failure('The hub did not name its event hub.'));
        else reject(failure);
      },
    });
  });
}
