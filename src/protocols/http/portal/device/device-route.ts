/**
 * The WebSocket by which a page is a device. It comes as an upgrade, beside the frame of the admin port, so everything that a
 * browser must say is asked here; a page cannot send headers with it, so the token of its session is a sub-protocol.
 */
import type http from 'node:http';
import type net from 'node:net';
import { signSas } from '../../../../api/sas.ts';
import { limits } from '../../../../base/limits.ts';
import { asHubError, HubError } from '../../../../core/errors.ts';
import type { Hub } from '../../../../core/hub.ts';
import type { DevicePrincipal } from '../../../../core/identity/types.ts';
import { acceptTextSocket } from '../../../shared/text-websocket.ts';
import type { UpgradeRoute } from '../../../shared/upgrade.ts';
import { isOwnHost } from '../../admin-guard.ts';
import type { PortalOptions } from '../../options.ts';
import { isCrossSite, isOwnPage, isPrivate, isPublicHost } from '../browser-rules.ts';
import type { Session } from '../sessions.ts';
import { CLOSED_BY_HUB, PageDevice } from './page-device.ts';

export const DEVICE_PROTOCOL = 'mooring-device';
const CSRF_PROTOCOL = 'csrf.';

export interface DeviceSockets {
  readonly route: UpgradeRoute;
  close(): void;
}

/** @param sessionOf the session of both halves */
export function deviceSockets(
  options: PortalOptions,
  sessionOf: (request: http.IncomingMessage, csrf: string) => Session | undefined,
): DeviceSockets {
  const { hub } = options;
  const open = new Map<PageDevice, Session>();
  let isClosed = false;

  /** @throws HubError */
  const judged = (request: http.IncomingMessage): Session => {
    const { host, origin } = request.headers;
    const isOwn = isOwnHost(host, hub.hostNames.accepts) || isPublicHost(host, options.publicOrigins);
    const isPage = origin !== undefined && isOwnPage(request, options.publicOrigins) && !isCrossSite(request);
    if (!isOwn || !isPage || !isPrivate(request, options.publicOrigins)) {
      throw new HubError('OperationNotAvailable', 'A device in a page is served to pages of the portal only.');
    }
    const session = sessionOf(request, csrfIn(request) ?? '');
    if (session === undefined) throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
    if (isClosed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
    const own = [...open.values()].filter((of) => of === session).length;
    if (own >= limits.portalDevicesPerSessionMax || open.size >= limits.portalDevicesMax) {
      throw new HubError('ThrottlingException', 'Too many devices run in pages already.');
    }
    return session;
  };

  return {
    route: {
      path: '/portal/device',
      subprotocols: [DEVICE_PROTOCOL],
      accept(request, socket, head) {
        let session: Session;
        try {
          session = judged(request);
        } catch (error) {
          refuse(socket, asHubError(error));
          return;
        }
        const peer = socket.remoteAddress ?? '';
        const deviceId = new URL(request.url ?? '/', 'http://page').searchParams.get('id') ?? '';
        const messageBytesMax = limits.portalDeviceMessageBytesMax;
        const unreadBytesMax = limits.portalStreamBytesMax;
        acceptTextSocket(
          { request, socket, head },
          { subprotocol: DEVICE_PROTOCOL, messageBytesMax, unreadBytesMax },
          (text) => {
            let isGone = false;
            text.onClose = () => {
              isGone = true;
            };
            void (async () => {
              try {
                const principal = await devicePrincipal(hub, session, deviceId);
                if (isGone || session.ended.aborted || isClosed) {
                  text.close(CLOSED_BY_HUB, 'session');
                  return;
                }
                const device = new PageDevice(hub, text, principal, peer);
                open.set(device, session);
                const release = session.hold();
                const over = (): void => device.end('by-client', 'session');
                session.ended.addEventListener('abort', over, { once: true });
                const { onClose } = text;
                text.onClose = () => {
                  open.delete(device);
                  release();
                  session.ended.removeEventListener('abort', over);
                  onClose();
                };
                await device.begin().catch((error: unknown) => {
                  device.end('by-client', asHubError(error).code);
                });
              } catch (error) {
                const { code, message } = asHubError(error);
                text.send(JSON.stringify({ type: 'refused', code, message }));
                text.close(CLOSED_BY_HUB, code);
              }
            })();
          },
        );
      },
    },
    close() {
      isClosed = true;
      for (const device of [...open.keys()]) device.end('hub-stopping');
    },
  };
}

/**
 * The device, by its own key, which the session has to be allowed to read: it proves itself as it would anywhere.
 * @throws HubError DeviceNotFound, IotHubUnauthorizedAccess, IotHubUnauthorized (it is disabled), ArgumentInvalid (it has no key)
 */
async function devicePrincipal(
  hub: Hub,
  { principal, expiresAt }: Session,
  deviceId: string,
): Promise<DevicePrincipal> {
  const identity = await hub.registry.get(principal, { deviceId });
  const key = identity.authentication.symmetricKey?.primaryKey;
  if (key === undefined) {
    throw new HubError('ArgumentInvalid', 'This device proves itself by a certificate: a page has none to show.');
  }
  const resource = `${hub.hostNames.all[0]}/devices/${encodeURIComponent(deviceId)}`;
  const token = await signSas({ resource, key, expiresAt });
  return hub.authentication.device({ deviceId }, { kind: 'token', token });
}

function csrfIn({ headers }: http.IncomingMessage): string | undefined {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.find((name) => name.startsWith(CSRF_PROTOCOL))?.slice(CSRF_PROTOCOL.length);
}

function refuse(socket: net.Socket, { status, code, message }: HubError): void {
  const body = JSON.stringify({ Message: `ErrorCode:${code};${message}` });
  const head = `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\niothub-errorcode: ${code}\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`, () =>
    socket.destroySoon(),
  );
}
