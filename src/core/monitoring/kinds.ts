import type { MonitoringKind } from './types.ts';

/** What a kind of event means and which fields it has of its own; `docs/monitoring.md` shows this table (checked by a test). */
export interface KindFacts {
  readonly meaning: string;
  readonly fields: readonly string[];
  /** Alike ones of one source are summed: with `count`, `first`, `last`, `since`, `summedOver`. */
  readonly summed: boolean;
}

const kind = (meaning: string, fields: readonly string[] = []): KindFacts => ({ meaning, fields, summed: false });
const summed = (meaning: string, fields: readonly string[]): KindFacts => ({ meaning, fields, summed: true });

export const monitoringKinds: Readonly<Record<MonitoringKind, KindFacts>> = {
  connected: kind('A device or module has authenticated and holds its place.'),
  disconnected: kind('Its connection has ended, and why.', ['reason', 'detail', 'lastActivityTime']),
  authenticationFailed: summed('A client was refused, and which check failed. Never holds a credential.', [
    'check',
    'policyName',
  ]),
  handshakeFailed: summed('A TLS handshake came to nothing: nobody is known yet but the address.', [
    'port',
    'reason',
    'offered',
  ]),
  operationRefused: summed('An authenticated peer asked for what a rule or limit does not allow.', [
    'code',
    'operation',
    'limit',
    'reason',
    'policyName',
    'target',
  ]),
  operationDone: kind('A back end has changed something over the REST API, or a person in the portal.', [
    'operation',
    'policyName',
    'session',
  ]),
  sessionOpened: kind('A person has signed in to the portal.', ['policyName', 'session']),
  sessionEnded: kind('The session is over, and why: signed out, idle, its time, a newer one, the hub stops.', [
    'policyName',
    'session',
    'reason',
  ]),
  throttled: summed(
    'A rate, or what waits already, was too much: a request was refused, or a device read more slowly.',
    ['effect', 'code', 'operation', 'limit', 'reason'],
  ),
  commandExpired: kind('A command was not completed within its time-to-live.', ['command', 'messageId']),
  commandRejected: kind('The device refused a command.', ['command', 'messageId']),
  commandGivenUp: kind('A command was abandoned as often as is allowed.', ['command', 'messageId']),
  fileUploaded: kind('A device or module has uploaded a file and said so.', ['file', 'bytes']),
  fileFetched: kind(
    'A device or module was sent a file, or a part of it, and until which byte: at first, each ten seconds, and when it has all.',
    ['file', 'bytes', 'sentBytes'],
  ),
  jobCreated: kind('A back end has asked for a job over many devices.', ['job', 'jobType', 'policyName']),
  jobEnded: kind('A job is over: completed, failed or cancelled, and how many devices came to what.', [
    'job',
    'jobType',
    'status',
    'completed',
    'failed',
    'cancelled',
    'unknown',
  ]),
  identityCreated: kind('An identity was added to the registry.', ['status']),
  identityChanged: kind('An identity was replaced; its status stayed.', ['status']),
  identityDisabled: kind('An identity was disabled: its connection ends, it cannot connect.', ['statusReason']),
  identityEnabled: kind('A disabled identity may connect again.', ['statusReason']),
  identityDeleted: kind('An identity was removed from the registry.'),
  registryJobStarted: kind('A back end has asked for an import or export of the registry.', [
    'job',
    'kind',
    'policyName',
  ]),
  registryJobEnded: kind('It has ended, and how: what was dealt with, and what of it could not be taken.', [
    'job',
    'kind',
    'outcome',
    'done',
    'refused',
  ]),
  configurationNotApplied: kind('What configurations set does not fit on a twin, or a device takes no more modules.', [
    'reason',
  ]),
  sharedKeyDerived: kind('A gateway or an adapter was given the key by which a device proves itself (TLS, DTLS).', [
    'policyName',
  ]),
  adapterStarted: kind('An adapter of a protocol of its own serves devices.', ['adapter']),
  adapterEnded: kind('It has ended, and how; its devices have lost their connections, and it is started again.', [
    'adapter',
    'reason',
    'detail',
  ]),
  endpointChanged: kind('An endpoint of routes takes events again, or does not, and why.', [
    'endpoint',
    'endpointKind',
    'health',
    'reason',
  ]),
  hubStarted: kind('The hub opens its doors.'),
  hubStopped: kind('The hub has drained its connections and ends in an orderly way.'),
  hubRecovered: kind('The run before this one ended without a stop; each connection that it held is told as ended.', [
    'connectionsLost',
  ]),
  clockJumped: kind('The clock of the machine was set, or the machine has slept: by how many milliseconds it is off.', [
    'jumpMs',
  ]),
  eventsMissed: kind('So many events could not be stored in the stream: the disk failed, or more came than it took.', [
    'missed',
    'first',
    'last',
  ]),
  detectionRaised: kind('Something has crossed a threshold.', ['detection', 'observed', 'threshold']),
  detectionCleared: kind('It is back below.', ['detection', 'observed', 'threshold', 'raisedTime']),
  traceStep: kind('A step of a message that is traced; only with `traceDevices` or `traceSample`.', [
    'step',
    'traceId',
    'messageId',
    'traceparent',
    'operation',
    'checkedTime',
    'partition',
    'sequence',
    'consumerGroup',
    'reader',
    'code',
    'reason',
  ]),
};
