import type { Command } from 'commander';
import { asSentence } from '../../base/text.ts';
import type { StartPosition } from '../events/position.ts';
import type { ReaderStatus } from '../events/reader.ts';
import { eventJson, eventLine } from '../events/render.ts';
import type { Login } from '../login/login.ts';
import { count, duration } from '../output/values.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { addMonitorConnections, type Shown } from './monitor-connections.ts';
import { addMonitorFeedback } from './monitor-feedback.ts';
import { type CommonOptions, examples, fromOption, loginFrom, wholeNumber, withLogin } from './options.ts';

interface MonitorOptions extends CommonOptions {
  readonly from: StartPosition;
  readonly device?: readonly string[];
  readonly consumerGroup: string;
  readonly count?: number;
}

/** Lines that are gathered before they are written: a write for each would cost more than all else. */
const LINES_PER_WRITE = 256;

export function addMonitorCommands(program: Command, terminal: Terminal): void {
  const monitor = program.command('monitor').summary('what comes in').description('Shows what comes into the hub.');
  const events = withLogin(monitor.command('events'))
    .description(
      'Shows events as they come in, until Ctrl-C. When the connection is lost it is made again, ' +
        'and the reading goes on where it was: nothing is left out, nothing comes twice.',
    )
    .addOption(fromOption('now'))
    .option('--device <id...>', 'only the events of these devices')
    .option('--consumer-group <name>', 'which consumer group reads', '$Default')
    .option('--count <n>', 'end after so many events', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .action((options: MonitorOptions) =>
      terminal.untilStopped((stop) => monitorEvents(loginFrom(options, terminal), options, stop, terminal)),
    );
  examples(events, [
    'mooring monitor events',
    'mooring monitor events --from 10m --device dev-01',
    'mooring monitor events --from start --json | jq .body.temperature',
  ]);
  addMonitorFeedback(monitor, terminal);
  addMonitorConnections(monitor, terminal, { fromOption: () => fromOption('now'), show: monitorEvents });
}

async function monitorEvents(
  login: Login,
  options: MonitorOptions,
  stop: AbortSignal,
  terminal: Terminal,
  shownAs?: Shown,
): Promise<void> {
  const devices = options.device === undefined ? undefined : new Set(options.device);
  const limit = options.count ?? Number.POSITIVE_INFINITY;
  const startedAt = performance.now();
  const format = shownAs?.format ?? (terminal.json ? eventJson : lineFormat(terminal));
  // Loaded when needed: the other commands start faster without the protocol’s library.
  const { readEvents } = await import('../events/reader.ts');
  const batches = readEvents({
    login,
    ...(shownAs !== undefined && { stream: shownAs.stream }),
    from: options.from,
    consumerGroup: options.consumerGroup,
    stop,
    onStatus: statusNotes(terminal),
  });
  let shown = 0;
  for await (const batch of batches) {
    let lines: string[] = [];
    for (const event of batch) {
      if (devices !== undefined && (event.deviceId === undefined || !devices.has(event.deviceId))) continue;
      if (shownAs?.matches(event) === false) continue;
      if (shown === limit) break;
      shown += 1;
      lines.push(format(event));
      if (lines.length < LINES_PER_WRITE) continue;
      await print(terminal, lines.join('\n'));
      lines = [];
    }
    if (lines.length > 0) await print(terminal, lines.join('\n'));
    if (shown === limit) break;
  }
  note(terminal, `${count(shown)} ${shown === 1 ? 'event' : 'events'} in ${duration(performance.now() - startedAt)}.`);
}

/** Columns stay aligned: the room for device ids grows with the longest that has been seen. */
function lineFormat(terminal: Terminal): (event: Parameters<typeof eventLine>[1]) => string {
  let width = 0;
  return (event) => {
    width = Math.max(width, Math.min(40, event.deviceId?.length ?? 0));
    return eventLine(terminal.out, event, width);
  };
}

/** Says how the connection fares; while it cannot be made again, only what is new. */
function statusNotes(terminal: Terminal): (status: ReaderStatus) => void {
  let said = '';
  return (status) => {
    const text = statusText(status);
    if (text !== said) note(terminal, text);
    said = text;
  };
}

function statusText(status: ReaderStatus): string {
  if (status.kind === 'lost') return `${asSentence(status.failure.message)} Trying again.`;
  const partitions = `${status.partitions} ${status.partitions === 1 ? 'partition' : 'partitions'}`;
  if (status.again) return `Reading ${status.eventHub} again, behind the last event.`;
  return `Reading ${status.eventHub}, ${partitions}. Ctrl-C ends it.`;
}
