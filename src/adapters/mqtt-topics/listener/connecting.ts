/** CONNECT -> who speaks, or the code of the refusal. */
import { limits } from '../../../base/limits.ts';
import { type Connection, type Host, Refused } from '../../../gateway/index.ts';
import type { ConnectPacket, Will } from '../../../wire/mqtt/packets.ts';
import type { ConnectPacket5 } from '../../../wire/mqtt/v5/decode.ts';
import { type Outcome, outcomes } from '../dialogue.ts';
import { checkTopicShape } from '../pattern.ts';
import type { Logins } from './logins.ts';
import type { Speaker, Speakers } from './speakers.ts';

export type Connected =
  | {
      readonly kind: 'accepted';
      readonly speaker: Speaker;
      /** User and client id: a second connection of one client ends the first [MQTT-3.1.4-2]. */
      readonly client: string;
      /** Given to a client that brought none. */
      readonly assignedClientId: string | undefined;
      readonly will: Will | undefined;
      /** The longest silence that is allowed: section 3.1.2.10 has one and a half times the keep alive. */
      readonly silenceMs: number;
      readonly receiveMax: number;
      /** The largest packet that the client takes; one that is larger is not sent [MQTT5-3.1.2-24]. */
      readonly packetBytesMax: number;
      /** Said to an MQTT 5 client whose own keep alive, or kept session, does not count. */
      readonly keepAliveSeconds: number | undefined;
      readonly sessionExpirySeconds: 0 | undefined;
    }
  | { readonly kind: 'refused'; readonly outcome: Outcome; readonly why: string };

export interface Doorkeeper {
  readonly host: Host;
  readonly logins: Logins;
  readonly speakers: Speakers;
}

/** Never rejects. @param packet its bytes are used before this first waits */
export async function connect(
  packet: ConnectPacket | ConnectPacket5,
  socket: Connection,
  keeper: Doorkeeper,
): Promise<Connected> {
  const { userName, clientId, cleanSession, keepAliveSeconds } = packet;
  const properties = 'properties' in packet ? packet.properties : undefined;
  const refuse = (outcome: Outcome, why: string): Connected => ({ kind: 'refused', outcome, why });
  if (properties?.authenticationMethod !== undefined)
    return refuse(outcomes.badAuthenticationMethod, 'an authentication method');
  if (clientId === '' && !cleanSession && properties === undefined) {
    return refuse(outcomes.clientIdentifierNotValid, 'no client id, and a session to keep [MQTT-3.1.3-8]');
  }
  if (Buffer.byteLength(clientId) > limits.mqttTopicsTopicBytesMax)
    return refuse(outcomes.clientIdentifierNotValid, 'a long client id');
  const will = packet.will && { ...packet.will, payload: Buffer.from(packet.will.payload) };
  const { certificates, peer, peerPort } = socket;
  const login = keeper.logins.judge({ userName, password: packet.password, clientId, certificates });
  /** Whoever judges, guessing costs the same, and does not tell which names there are. */
  const refuseLate = async (why: string): Promise<Connected> => {
    await new Promise<void>((resolve) => keeper.host.clock.after(limits.mqttTopicsRefusalDelayMs, resolve));
    return refuse(outcomes.badUserNameOrPassword, why);
  };
  if (login === undefined) return refuseLate('wrong user name or password');
  try {
    if (will !== undefined) checkTopicShape(will.topic, 'topic of the will');
    const speaker = await keeper.speakers.enter(login, peer, (clientId || userName || peer).slice(0, 200));
    const assignedClientId = clientId === '' ? `auto-${peer}-${peerPort}` : undefined;
    const allowedMs = keepAliveSeconds === 0 ? Number.POSITIVE_INFINITY : keepAliveSeconds * 1500;
    return {
      kind: 'accepted',
      speaker,
      client: `${userName ?? ''}\0${assignedClientId ?? clientId}`,
      assignedClientId,
      will,
      silenceMs: Math.min(allowedMs, limits.mqttKeepAliveMsMax),
      receiveMax: properties?.receiveMax ?? limits.mqttTopicsInflightMax,
      packetBytesMax: properties?.packetBytesMax ?? Number.POSITIVE_INFINITY,
      keepAliveSeconds:
        allowedMs > limits.mqttKeepAliveMsMax ? Math.floor(limits.mqttKeepAliveMsMax / 1500) : undefined,
      sessionExpirySeconds: (properties?.sessionExpirySeconds ?? 0) > 0 ? 0 : undefined,
    };
  } catch (error) {
    const { message } = error as Error;
    return error instanceof Refused && error.retry ? refuse(outcomes.serverUnavailable, message) : refuseLate(message);
  }
}
