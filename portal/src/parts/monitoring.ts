/** Monitoring events in sentences: what happened, why, and what to do about it. */

import { doneWords, toDoWords } from '../../../src/api/operation-words.ts';
import type { Mood } from './mood.ts';

/** The body of a monitoring event; its fields are those of docs/monitoring.md. */
export interface MonitoringEvent {
  readonly type: string;
  readonly time: string;
  readonly sequenceNumber?: number;
  readonly deviceId?: string;
  readonly moduleId?: string;
  readonly protocol?: string;
  readonly credential?: string;
  readonly peer?: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly check?: string;
  readonly code?: string;
  readonly operation?: string;
  readonly policyName?: string;
  readonly target?: string;
  readonly count?: number;
  /** Of several that are told as one: the time of the first. */
  readonly first?: string;
  readonly session?: string;
  readonly effect?: string;
  readonly limit?: { readonly name: string; readonly scope: string; readonly current?: number; readonly max?: number };
  readonly lastActivityTime?: string;
  readonly [field: string]: unknown;
}

/** What a sentence says of an event; `remedy` where a person can do something. */
export interface Saying {
  readonly mood: Mood;
  readonly text: string;
  readonly remedy?: string;
}

const ends: Readonly<Record<string, Saying>> = {
  'by-client': { mood: '', text: 'Disconnected: the device said good-bye.' },
  'connection-lost': {
    mood: 'warn',
    text: 'Disconnected: the connection broke without a good-bye.',
    remedy: 'If this repeats, look at the network between device and hub, or at what ends idle connections on the way.',
  },
  'keep-alive': {
    mood: 'warn',
    text: 'Disconnected: the device was silent for longer than its keep alive allows.',
    remedy:
      'The device has lost its network or power, or its program is stuck. A longer keep alive helps on a slow network.',
  },
  'taken-over': {
    mood: 'warn',
    text: 'Disconnected: a newer connection with the same id took its place.',
    remedy: 'If this repeats, two programs use the same device id: give each an id of its own.',
  },
  'token-expired': {
    mood: '',
    text: 'Disconnected: its token had ended.',
    remedy: 'SDKs renew tokens by themselves. A device that makes its own must connect again with a new one.',
  },
  disabled: {
    mood: 'warn',
    text: 'Disconnected: the device was disabled.',
    remedy: 'Enable it, and it may connect again.',
  },
  deleted: { mood: 'warn', text: 'Disconnected: the device was deleted.' },
  'credentials-changed': {
    mood: 'warn',
    text: 'Disconnected: its keys or certificates were changed.',
    remedy: 'Give the device its new credential.',
  },
  'authority-removed': {
    mood: 'warn',
    text: 'Disconnected: the authority of its certificate was removed.',
    remedy: 'Register the authority again, or give the device a certificate of another one.',
  },
  'protocol-error': {
    mood: 'bad',
    text: 'Disconnected: the device broke a rule of the protocol.',
    remedy: 'The detail names the rule. A message that is too large or a foreign topic are the usual ones.',
  },
  'storage-failed': {
    mood: 'bad',
    text: 'Disconnected: the hub could not store its messages.',
    remedy: 'Look at the health of the hub: mostly the disk is full.',
  },
  'hub-stopping': { mood: '', text: 'Disconnected: the hub stopped.' },
  'hub-crashed': { mood: 'warn', text: 'Disconnected: the hub ended without a stop.' },
};

const checks: Readonly<Record<string, readonly [text: string, remedy: string]>> = {
  'missing-credential': ['it showed no credential', 'Give it a token as its password, or a certificate.'],
  'malformed-token': [
    'its token cannot be read',
    'Make the token anew: SharedAccessSignature sr=…&sig=…&se=…, each value encoded once.',
  ],
  'expired-token': ['its token has ended', 'Let it make a new token. If its clock is wrong, set the clock first.'],
  'too-long-token': ['its token is longer than the hub takes', 'Make the token anew by the connection string.'],
  'wrong-host': [
    'its token is for another host',
    'The token must name the host that the device connects to: take the connection string of this page.',
  ],
  'wrong-resource': [
    'its token is for another device',
    'The token must name this device: take the connection string of this page.',
  ],
  'unknown-policy': [
    'it named a policy that this hub does not have',
    'Use the connection string of the device, not that of a policy.',
  ],
  'missing-permission': ['its policy may not connect devices', 'Use the connection string of the device.'],
  'unknown-identity': ['this hub has no such device', 'Create the device, or mend its id: capital letters count.'],
  'disabled-identity': ['the device is disabled', 'Enable it.'],
  'wrong-key': [
    'its key is not one of this device',
    'Give it the connection string of this page; keys were rotated, or it is one of another hub.',
  ],
  'wrong-credential-kind': [
    'it showed a credential of another kind than it is registered with',
    'A device with keys must use a token; one with a certificate must show it.',
  ],
  'wrong-certificate': [
    'its certificate is not the registered one',
    'Register the thumbprint of the certificate that it has, or give it the right one.',
  ],
  'expired-certificate': ['its certificate has ended', 'Give it a new certificate, and register it.'],
  'premature-certificate': ['its certificate is not valid yet', 'Check the clocks of the device and of the hub.'],
  'unknown-authority': [
    'its certificate is of an authority that this hub does not know',
    'Register that authority: mooring ca add.',
  ],
  'unverified-authority': [
    'its authority is registered but not proved',
    'Prove that you hold the key of the authority.',
  ],
  'not-judged': [
    'too many refusals of its address wait',
    'Wait a minute, and stop what keeps trying with a wrong credential.',
  ],
};

const handshakes: Readonly<Record<string, readonly [text: string, remedy: string]>> = {
  'no-shared-suite': ['it offers no cipher that the hub has', 'Update the TLS library of the device.'],
  'no-shared-version': ['it speaks no version of TLS that the hub takes', 'The device needs TLS 1.2 or 1.3.'],
  'no-shared-group': ['it has no key exchange in common with the hub', 'Update the TLS library of the device.'],
  'no-shared-signature': ['it cannot check the signatures of the hub', 'Update the TLS library of the device.'],
  'refused-by-client': [
    'the device refused the certificate of the hub',
    'Let the device trust the CA of the hub, and use a host name that the certificate has.',
  ],
  'not-tls': ['what came was no TLS', 'The device must use TLS at this port.'],
  'closed-by-client': ['the device hung up during the handshake', 'Mostly it does not trust the CA of the hub.'],
  'too-slow': ['the handshake took too long', 'Look at the network, or at the power of the device.'],
  broken: ['the connection broke during the handshake', 'Look at the network between device and hub.'],
};

/** How a connection ended, as a sentence of its own. */
export function endText(reason: string): string {
  const text = ends[reason]?.text.replace(/^Disconnected: /, '') ?? reason;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

type Teller = (event: MonitoringEvent) => string;
const word = (value: unknown): string => (value === undefined || value === null ? '?' : String(value));

/** Of kinds that have no more to them than a sentence. */
const sentences: Readonly<Record<string, Teller>> = {
  identityCreated: ({ count }) => (isMany(count) ? `${count} devices were created.` : 'The device was created.'),
  identityChanged: ({ count }) => (isMany(count) ? `${count} devices were changed.` : 'The device was changed.'),
  identityDisabled: ({ count }) => (isMany(count) ? `${count} devices were disabled.` : 'The device was disabled.'),
  identityEnabled: ({ count }) => (isMany(count) ? `${count} devices were enabled.` : 'The device was enabled.'),
  identityDeleted: ({ count }) => (isMany(count) ? `${count} devices were deleted.` : 'The device was deleted.'),
  operationDone: ({ policyName, operation, session, count }) =>
    `${word(policyName)}${session === undefined ? '' : ', through the portal,'} ${doneWords(word(operation))}${timesText(count)}.`,
  sessionOpened: ({ policyName }) => `${word(policyName)} signed in to the portal.`,
  sessionEnded: ({ policyName, reason }) =>
    `A session of ${word(policyName)} in the portal is over: ${sessionEnds[reason ?? ''] ?? word(reason)}.`,
  hubStarted: () => 'The hub started.',
  hubStopped: () => 'The hub stopped.',
  hubRecovered: ({ connectionsLost }) =>
    `The hub came back after an end without a stop; it lost ${word(connectionsLost)} connections.`,
  commandExpired: () => 'A command was not taken in time.',
  commandRejected: () => 'The device rejected a command.',
  commandGivenUp: () => 'A command was abandoned too often.',
  fileUploaded: ({ file }) => `The device uploaded the file ${word(file)}.`,
  fileFetched: ({ file, bytes, sentBytes }) =>
    `The device fetched the file ${word(file)}${bytes === sentBytes ? '' : ` up to byte ${word(sentBytes)} of ${word(bytes)}`}.`,
  jobCreated: ({ policyName, job }) => `${word(policyName)} asked for the job ${word(job)}.`,
  jobEnded: ({ job, status, completed, failed }) =>
    `The job ${word(job)} is over, ${word(status)}: ${word(completed)} devices done, ${word(failed)} failed.`,
  registryJobStarted: ({ policyName, kind }) => `${word(policyName)} asked for an ${word(kind)} of the registry.`,
  registryJobEnded: ({ kind, outcome, done }) =>
    `The ${word(kind)} of the registry is over, ${word(outcome)}: ${word(done)} dealt with.`,
  configurationNotApplied: ({ reason }) => `A configuration does not fit: ${word(reason)}.`,
  sharedKeyDerived: ({ policyName }) =>
    policyName === undefined
      ? 'An adapter was given the key of the device for a handshake.'
      : `${policyName} was given the key of the device for a handshake.`,
  adapterStarted: ({ adapter }) => `The adapter ${word(adapter)} serves devices.`,
  adapterEnded: ({ adapter, reason }) => `The adapter ${word(adapter)} has ended: ${word(reason)}.`,
  endpointChanged: ({ endpoint, health, reason }) =>
    `The endpoint ${word(endpoint)} is ${word(health)}${reason ? `: ${reason}` : ''}.`,
  clockJumped: ({ jumpMs }) => `The clock of the hub was off by ${word(jumpMs)} ms, or its machine slept.`,
  eventsMissed: ({ missed }) => `${word(missed)} monitoring events could not be stored.`,
  traceStep: ({ step, messageId }) =>
    `A traced message ${messageId === undefined ? '' : `(${messageId}) `}was ${word(step)}.`,
};

const isMany = (count: number | undefined): boolean => count !== undefined && count > 1;
const timesText = (count: number | undefined): string => (isMany(count) ? ` ${count} times` : '');

const sessionEnds: Readonly<Record<string, string>> = {
  'signed-out': 'it signed out',
  idle: 'nothing was done for long',
  expired: 'its time was over',
  displaced: 'a newer one took its place',
  stopping: 'the hub stopped',
};

const detections: Readonly<Record<string, string>> = {
  'authentication-failures-of-device': 'many failed attempts to sign in as one device',
  'authentication-failures-of-address': 'many failed attempts to sign in from one address',
  'flapping-device': 'a device that connects again and again',
  'silent-device': 'a device that is silent',
  'rejected-commands': 'many rejected commands',
  'rate-change': 'another rate of messages than before',
};

const detectionText = (detection: unknown): string => detections[String(detection)] ?? word(detection);

const WAYS: Readonly<Record<string, string>> = {
  mqtt: 'MQTT',
  'mqtt-ws': 'MQTT over WebSockets',
  amqp: 'AMQP',
  'amqp-ws': 'AMQP over WebSockets',
  http: 'HTTP',
  portal: 'a page of the portal',
};

export const wayText = (protocol: string): string => WAYS[protocol] ?? protocol;

/** One sentence for each event, also such as a later hub tells. */
export function sayingOf(event: MonitoringEvent): Saying {
  const way = event.protocol === undefined ? '' : ` by ${WAYS[event.protocol] ?? event.protocol}`;
  const from = event.peer === undefined ? '' : ` from ${event.peer}`;
  const times = event.count !== undefined && event.count > 1 ? ` (${event.count} times)` : '';
  switch (event.type) {
    case 'connected':
      return { mood: 'ok', text: `Connected${way}${from}.` };
    case 'disconnected': {
      const end = ends[event.reason ?? ''];
      const detail = event.detail === undefined ? '' : ` ${event.detail}`;
      return end === undefined
        ? { mood: 'warn', text: `Disconnected: ${event.reason ?? 'for an unknown reason'}.${detail}` }
        : { ...end, text: `${end.text}${detail}` };
    }
    case 'authenticationFailed': {
      const [text, remedy] = checks[event.check ?? ''] ?? [event.check ?? 'its credential is wrong', undefined];
      return { mood: 'bad', text: `Refused${way}${from}: ${text}${times}.`, ...(remedy && { remedy }) };
    }
    case 'handshakeFailed': {
      const [text, remedy] = handshakes[event.reason ?? ''] ?? [event.reason ?? 'the handshake failed', undefined];
      return { mood: 'bad', text: `No connection${from}: ${text}${times}.`, ...(remedy && { remedy }) };
    }
    case 'operationRefused': {
      const { policyName, operation = '', code, reason } = event;
      const who = policyName === undefined ? 'Refused' : `The back end ${policyName} was refused`;
      return {
        mood: 'bad',
        text: `${who} to ${toDoWords(operation)}: ${code ?? ''}${reason ? `, ${reason}` : ''}${times}.`,
        ...(event.limit && {
          remedy: `The limit ${event.limit.name} is ${event.limit.max}${event.limit.current === undefined ? '' : `, ${event.limit.current} in use`}.`,
        }),
      };
    }
    case 'throttled':
      return {
        mood: 'warn',
        text:
          event.effect === 'slowed'
            ? `Slowed down by ${event.limit?.name ?? 'a limit'}${times}.`
            : `Refused for now: too many requests${times}.`,
        remedy: `It sends more than ${event.limit?.name ?? 'a limit'} allows: send less, or raise the setting.`,
      };
    case 'detectionRaised':
      return {
        mood: 'warn',
        text: `Out of the ordinary: ${detectionText(event.detection)} (${String(event.observed)}).`,
      };
    case 'detectionCleared':
      return { mood: 'ok', text: `No more: ${detectionText(event.detection)}.` };
    default:
      return {
        mood: /Deleted|Disabled|Expired|Rejected|GivenUp|Recovered|NotApplied|Missed|adapterEnded/.test(event.type)
          ? 'warn'
          : '',
        text: sentences[event.type]?.(event) ?? `Something that this page does not know: ${event.type}.`,
      };
  }
}
