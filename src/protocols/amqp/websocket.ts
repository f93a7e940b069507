import type { Hub } from '../../core/hub.ts';
import { peerCertificate } from '../shared/peer-certificate.ts';
import type { WebSockets } from '../shared/upgrade.ts';
import { acceptWebSocket } from '../shared/websocket.ts';
import { amqpConnections } from './connections.ts';

const SUBPROTOCOL = 'amqpwsb10';

/** Where the SDKs of devices and back ends look, and those of Event Hubs (service reference 1.1). */
export const amqpWebSocketPaths = ['/$iothub/websocket', '/$servicebus/websocket'] as const;

/**
 * AMQP 1.0 over the WebSockets of the HTTPS port.
 * @param redirectPort port of the AMQP door with TLS, where old clients are sent
 */
export function amqpWebSockets(hub: Hub, path: (typeof amqpWebSocketPaths)[number], redirectPort: number): WebSockets {
  const connections = amqpConnections(hub, () => redirectPort);
  return {
    route: {
      path,
      subprotocol: SUBPROTOCOL,
      accept(request, socket, head, proved) {
        const peer = socket.remoteAddress ?? '';
        acceptWebSocket({ request, socket, head }, SUBPROTOCOL, (stream, hasProved) =>
          connections.accept(stream, {
            protocol: 'amqp-ws',
            peer,
            certificate: () => peerCertificate(socket),
            proved() {
              hasProved();
              proved();
            },
          }),
        );
      },
    },
    drain: (withinMs) => connections.drain(withinMs),
    connections: () => connections.count(),
  };
}
