/** MQTT. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const mqttLimits = {
  /** Requests of one MQTT connection to its twin that wait for the store, before its socket is not read. */
  mqttTwinRequestsMax: 32,
  /** Largest MQTT packet: one telemetry message, its topic (64 KiB by the standard's length field) and headers. */
  mqttPacketBytesMax: 256 * KiB + 64 * KiB + 16,
  /** Least bytes of a buffer for what has come of an unfinished packet that is used again. */
  mqttKeptBufferBytesMin: 1 * KiB,
  /** Bytes and number of such buffers that wait to be used again, on one thread: a chunk of the socket for each of 256 connections. */
  mqttKeptBuffersFreeBytesMax: 16 * MiB,
  mqttKeptBuffersFreeMax: 256,
  /** Largest packet before the CONNECT has been accepted: user name, token, will. */
  mqttConnectBytesMax: 16 * KiB,
  /**
   * Packets of one connection that are worked off before the others have their turn. A chunk of the socket holds thirty thousand
   * of the smallest, and the runtime reads up to 32 chunks before it looks at the next socket.
   */
  mqttPacketsPerTurn: 512,
  /** QoS 1 messages of one connection that wait for the disk before its socket is not read. */
  mqttInflightMax: 1024,
  /** Service: subscriptions of one device connection. */
  mqttSubscriptionsMax: 5,
  /** Filters of one SUBSCRIBE or UNSUBSCRIBE; a device has at most seven different ones to name. */
  mqttFiltersPerPacketMax: 32,
  /** Device reference 2.1: the hub drops a connection after 1.5 times its keep alive, at most this. */
  mqttKeepAliveMsMax: 1767 * SECOND_MS,
  /** Characters of a CONNECT's user name: host, ids, version, model and the SDK's name are a few hundred. */
  mqttUserNameCharsMax: 4 * KiB,
  /** Pairs in the property bag of a topic: the application's properties, those of the system, and names given twice. */
  mqttBagPairsMax: 256,
  /** Characters of a twin request's id, which is echoed: SDKs use numbers and UUIDs. */
  mqttRequestIdCharsMax: 256,
  /** Bytes of a topic that a connection remembers for its fast path; a property bag is seldom longer. */
  mqttRememberedTopicBytesMax: 1 * KiB,
  /** How often keep alive, token expiry and handshakes are looked at; a connection ends at most this much late. */
  mqttPulseMs: 500,
  /**
   * Answers and commands that wait in the socket of a peer that does not read, before it is not read either. Far over
   * what commands alone may make wait, so that a peer which must write before it reads on is not held up by them.
   */
  mqttOutputBytesMax: 256 * KiB,
  /** User properties of one MQTT 5 packet: each becomes a property of a message, of which there are no more. */
  mqtt5UserPropertiesMax: 64,
  /** Bytes of all properties of one MQTT 5 packet, before any of them is read. */
  mqtt5PropertiesBytesMax: 16 * KiB,
  /** How long a connection that the hub has ended may take to read its last bytes. */
  mqttLingerMs: 2 * SECOND_MS,
} as const;
