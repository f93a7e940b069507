/** The adapter mqtt-topics. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const mqttTopicsLimits = {
  /** Bytes of a topic or filter, before it is looked at: those of the devices in question have less than a hundred. */
  mqttTopicsTopicBytesMax: 512,
  /** Levels of a topic or filter: what each match costs. */
  mqttTopicsLevelsMax: 16,
  /** Rules of one adapter, those of its presets included: what a topic that is new is compared with. */
  mqttTopicsRulesMax: 128,
  /** User names in the settings. */
  mqttTopicsUsersMax: 1000,
  /** Devices behind one connection: the default, and the most that an operator may set. */
  mqttTopicsDevicesPerUser: 200,
  mqttTopicsDevicesPerUserMax: 10_000,
  /** Filters of one connection; a coordinator has about twenty. */
  mqttTopicsSubscriptionsMax: 100,
  /** Topics that a connection remembers with what they mean, so that the next message on them is not matched again. */
  mqttTopicsRememberedMax: 1000,
  /** Retained messages that are kept for the connections of one user, in number and in bytes of topic and body. */
  mqttTopicsRetainedMax: 1000,
  mqttTopicsRetainedBytesMax: 1 * MiB,
  /** Of all users together. */
  mqttTopicsRetainedBytesInAllMax: 32 * MiB,
  /** Largest packet of a coordinator or a broker that is bridged: zigbee2mqtt lists all its devices in one message. */
  mqttTopicsListBytesMax: 4 * MiB,
  /** Messages of one connection that wait for the hub, before its socket is not read. */
  mqttTopicsInflightMax: 256,
  /** Their bytes. */
  mqttTopicsInflightBytesMax: 1 * MiB,
  /** QoS 2 messages of one connection between PUBREC and PUBREL: a client of 3.1.1 may send many before its first PUBREL. */
  mqttTopicsReleasesMax: 4096,
  /** What waits in the socket of a peer that does not read, before it is not read either. */
  mqttTopicsOutputBytesMax: 64 * KiB,
  /** And before it is cut off: one message of the largest size beyond that, and what is retained for one filter. */
  mqttTopicsOutputCutBytes: 2 * MiB,
  /** Methods of one device that wait for an answer; the caller of more is told at once. */
  mqttTopicsMethodsPerDeviceMax: 16,
  /** How long a device has for the answer to a method, where its rule says nothing else. */
  mqttTopicsAnswerSeconds: 10,
  /** Time from the first byte to an accepted CONNECT. */
  mqttTopicsConnectMs: 10 * SECOND_MS,
  /** How often keep alives are looked at. */
  mqttTopicsPulseMs: 1 * SECOND_MS,
  /** A message that the hub does not take for now is tried again for so long; then its connection ends, and its device sends it again. */
  mqttTopicsRetryMs: 30 * SECOND_MS,
  /** A device behind a coordinator that the hub refuses is not tried again for so long. */
  mqttTopicsRefusedMs: 30 * SECOND_MS,
  /** A client with a wrong password is answered so late: what guessing costs. */
  mqttTopicsRefusalDelayMs: 1 * SECOND_MS,
  /** Bridge: first and longest pause before the broker is tried again. */
  mqttTopicsBackoffMsMin: 500,
  mqttTopicsBackoffMsMax: 60 * SECOND_MS,
  /** Bridge: commands that wait for the broker. */
  mqttTopicsBridgeWaitingMax: 1000,
} as const;
