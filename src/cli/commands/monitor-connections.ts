import type { Command, Option } from 'commander';
import type { ReceivedEvent } from '../events/event.ts';
import type { EventStreamName } from '../events/event-hub.ts';
import type { StartPosition } from '../events/position.ts';
import { showBody } from '../events/render.ts';
import type { Login } from '../login/login.ts';
import { paint, printable } from '../output/table.ts';
import type { Output, Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

/** What a live view shows of a stream, and how. */
export interface Shown {
  readonly stream: EventStreamName;
  matches(event: ReceivedEvent): boolean;
  format(event: ReceivedEvent): string;
}

interface LiveOptions extends CommonOptions {
  readonly from: StartPosition;
  readonly device?: readonly string[];
  readonly consumerGroup: string;
  readonly count?: number;
}

interface ConnectionsOptions extends LiveOptions {
  readonly type?: readonly string[];
}

/** What the live views have in common. */
export interface LiveView {
  fromOption(): Option;
  show(login: Login, options: LiveOptions, stop: AbortSignal, terminal: Terminal, shownAs: Shown): Promise<void>;
}

/** Adds `monitor connections`: the monitoring event hub, for a person at a terminal. */
export function addMonitorConnections(monitor: Command, terminal: Terminal, view: LiveView): void {
  const connections = withLogin(monitor.command('connections'))
    .description(
      'Shows what happens between devices and the hub: connections and their ends, failed authentications, refusals, ' +
        'changes of identities, detections. docs/monitoring.md explains each kind.',
    )
    .addOption(view.fromOption())
    .option('--device <id...>', 'only what concerns these devices')
    .option('--type <kind...>', 'only these kinds, such as connected or authenticationFailed')
    .option('--consumer-group <name>', 'which consumer group reads', '$Default')
    .option('--count <n>', 'end after so many events', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .action((options: ConnectionsOptions) => {
      const types = options.type === undefined ? undefined : new Set(options.type);
      const shownAs: Shown = {
        stream: 'monitoring',
        matches: (event) => types === undefined || types.has(String(event.properties.type)),
        format: terminal.json ? bodyText : (event) => connectionLine(terminal.out, event),
      };
      return terminal.untilStopped((stop) => view.show(loginFrom(options, terminal), options, stop, terminal, shownAs));
    });
  examples(connections, [
    'mooring monitor connections',
    'mooring monitor connections --from 1h --type authenticationFailed',
    'mooring monitor connections --from start --json | jq -r .deviceId',
  ]);
}

/** The event as it is stored: one line of JSON. */
function bodyText(event: ReceivedEvent): string {
  return printable(event.body.toString('utf8'));
}

/** Fields that the line shows in columns, or that say nothing to a person. */
const inColumns = new Set([
  ...['schemaVersion', 'type', 'time', 'sequenceNumber', 'deviceId', 'moduleId', 'protocol', 'credential', 'peer'],
  ...['correlationId', 'first', 'last'],
]);
const styles: Readonly<Record<string, 'green' | 'red' | 'yellow'>> = {
  connected: 'green',
  authenticationFailed: 'red',
  handshakeFailed: 'yellow',
  detectionRaised: 'red',
  eventsMissed: 'red',
  operationRefused: 'yellow',
  throttled: 'yellow',
};
const TYPE_WIDTH = 20;

/** When, what, who, from where, and what else there is to say. */
function connectionLine(output: Output, event: ReceivedEvent): string {
  const { value } = showBody(event.body);
  if (typeof value !== 'object' || value === null) return printable(String(value));
  const told = value as Readonly<Record<string, unknown>>;
  const type = String(told.type);
  const device = told.moduleId === undefined ? told.deviceId : `${told.deviceId}/${told.moduleId}`;
  const where = [told.protocol, told.credential, told.peer].filter((part) => part !== undefined).join(' ');
  const more = Object.entries(told)
    .filter(([name]) => !inColumns.has(name))
    .map(([name, each]) => `${name}=${typeof each === 'object' ? JSON.stringify(each) : each}`);
  const name = printable(type).padEnd(TYPE_WIDTH);
  return [
    paint(output, 'dim', printable(String(told.time))),
    styles[type] === undefined ? name : paint(output, styles[type], name),
    paint(output, 'cyan', printable(String(device ?? '-'))),
    ...[where, more.join(' ')].filter((part) => part !== '').map(printable),
  ].join('  ');
}
