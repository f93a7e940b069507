import type { Hub } from '../../core/hub.ts';
import { peerCertificate } from '../shared/peer-certificate.ts';
import type { WebSockets } from '../shared/upgrade.ts';
import { acceptWebSocket } from '../shared/websocket.ts';
import { mqttConnections } from './connections.ts';

const PATH = '/$iothub/websocket';
const SUBPROTOCOL = 'mqtt';

/** MQTT 3.1.1 over the WebSockets of the HTTPS port (device reference 2.10). */
export function mqttWebSockets(hub: Hub): WebSockets {
  const connections = mqttConnections(hub);
  return {
    route: {
      path: PATH,
      subprotocol: SUBPROTOCOL,
      accept(request, socket, head, proved) {
        const peer = socket.remoteAddress ?? '';
        acceptWebSocket({ request, socket, head }, SUBPROTOCOL, (stream, hasProved) =>
          connections.accept(stream, {
            protocol: 'mqtt-ws',
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
