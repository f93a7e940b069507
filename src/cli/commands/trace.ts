import type { Command } from 'commander';
import type { TrackedCommand } from '../../api/commands.ts';
import type { StartPosition } from '../events/position.ts';
import { showBody } from '../events/render.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { paint, printable } from '../output/table.ts';
import { localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { trackedCommand } from '../sending/view.ts';
import { print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, fromOption, loginFrom, withLogin } from './options.ts';

interface TraceOptions extends CommonOptions {
  readonly device?: string;
  readonly module?: string;
  readonly from: StartPosition;
}

/** The body of a `traceStep` (docs/monitoring.md). */
interface Step {
  readonly time: string;
  readonly step: string;
  readonly traceId: string;
  readonly deviceId?: string;
  readonly moduleId?: string;
  readonly messageId?: string;
  readonly [field: string]: unknown;
}

/** Adds `trace`: what became of one message, be it telemetry that the hub follows or a command. */
export function addTraceCommand(program: Command, terminal: Terminal): void {
  const trace = withLogin(program.command('trace'))
    .summary('what became of a message')
    .description(
      'Shows each step of a telemetry message, by its message id or the hub’s trace id, and, with --device, of a command. ' +
        'Commands are always followed; telemetry only of the devices of traceDevices or as traceSample says.',
    )
    .argument('<id>')
    .option('--device <id>', 'whose message; needed for commands')
    .option('--module <id>', 'a module of the device')
    .addOption(fromOption('24h'))
    .action((id: string, options: TraceOptions) =>
      terminal.untilStopped((stop) => showTrace(loginFrom(options, terminal), id, options, stop, terminal)),
    );
  examples(trace, [
    'mooring trace msg-7',
    'mooring trace reboot-7 --device dev-01',
    'mooring trace msg-7 --from start',
  ]);
}

async function showTrace(
  login: Login,
  id: string,
  options: TraceOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const messages = await stepsOf(login, id, options, stop);
  const commands = options.device === undefined ? [] : await commandsOf(login, id, options);
  if (terminal.json) return print(terminal, JSON.stringify({ messages, commands }, undefined, 2));
  if (messages.length + commands.length === 0) {
    throw new Failure(`The hub knows no steps of ${printable(id)}.`, {
      hint:
        'Telemetry is followed where traceDevices or traceSample asks for it, and looked for from --from on; ' +
        'a command is found with --device.',
    });
  }
  const shown = [
    ...messages.map((steps) => [headOf(steps, terminal), ...steps.map((step) => stepLine(step, terminal))].join('\n')),
    ...commands.map((command) => trackedCommand(command, terminal.out)),
  ];
  await print(terminal, shown.join('\n\n'));
}

/** Steps of every message with that id, message by message. Later steps may name the trace alone. */
async function stepsOf(
  login: Login,
  id: string,
  { device, module, from }: TraceOptions,
  stop: AbortSignal,
): Promise<readonly (readonly Step[])[]> {
  const { readEvents } = await import('../events/reader.ts');
  const traces = new Map<string, Step[]>();
  const batches = readEvents({
    login,
    stream: 'monitoring',
    consumerGroup: '$Default',
    from,
    toEnd: true,
    stop,
    onStatus: () => {},
  });
  for await (const batch of batches) {
    for (const event of batch) {
      if (event.properties.type !== 'traceStep') continue;
      if (device !== undefined && event.deviceId !== device) continue;
      if (module !== undefined && event.moduleId !== module) continue;
      const step = showBody(event.body).value as Step;
      const known = traces.get(step.traceId);
      if (known !== undefined) known.push(step);
      else if (step.traceId === id || step.messageId === id) traces.set(step.traceId, [step]);
    }
  }
  // They are told as they become known: a reader may have the message before its place is.
  const rank = ({ step }: Step): number => inOrder.indexOf(step);
  const order = (a: Step, b: Step): number => Date.parse(a.time) - Date.parse(b.time) || rank(a) - rank(b);
  return [...traces.values()].map((steps) => steps.sort(order));
}

/** Steps of the same millisecond. */
const inOrder = ['received', 'authorised', 'refused', 'not-stored', 'stored', 'delivered'];

async function commandsOf(login: Login, messageId: string, options: TraceOptions): Promise<readonly TrackedCommand[]> {
  const deviceId = options.device ?? '';
  const target = options.module === undefined ? { deviceId } : { deviceId, moduleId: options.module };
  return withApi(login, ['service'], async (api) => {
    const { commands } = await api.commands.find(target, { messageId });
    return commands;
  });
}

function headOf([first]: readonly Step[], { out }: Terminal): string {
  const device = first.moduleId === undefined ? first.deviceId : `${first.deviceId}/${first.moduleId}`;
  const message = first.messageId === undefined ? '' : `  message ${first.messageId}`;
  return `${paint(out, 'cyan', printable(String(device)))}${printable(message)}  trace ${printable(first.traceId)}`;
}

const inHead = new Set(['schemaVersion', 'type', 'time', 'sequenceNumber', 'step', 'traceId', 'messageId', 'moduleId']);

/** `2026-01-02 03:04:05.678  stored  partition=3 sequence=17` */
function stepLine(step: Step, { out }: Terminal): string {
  const facts = Object.entries(step)
    .filter(([name]) => !inHead.has(name) && name !== 'deviceId')
    .map(([name, value]) => `${name}=${value}`);
  const time = `${localTime(Date.parse(step.time))}.${step.time.slice(20, 23)}`;
  return `${paint(out, 'dim', printable(time))}  ${printable([step.step, ...facts].join(' '))}`;
}
