import { Failure } from '../failure.ts';
import type { EventConnection } from './connection.ts';

/**
 * Asks the hub which event hub carries its telemetry: a receiver on the hub's own address is redirected to it (service
 * reference 6). Needs no more than ServiceConnect, which reading needs anyway.
 */
export function findEventHub(connection: EventConnection): Promise<string> {
  return new Promise((resolve, reject) => {
    void connection.ended.then(reject);
    connection.receive({
      address: 'messages/events/',
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
