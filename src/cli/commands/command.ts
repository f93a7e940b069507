import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CommandTarget } from '../../api/command-calls.ts';
import { type CommandDraft, type ReceiptWishName, receiptWishes, type TrackedCommand } from '../../api/commands.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { printable } from '../output/table.ts';
import { count, duration } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { type BodyOptions, bodyOf } from '../sending/body.ts';
import { commandTable, deadLetterTable, trackedCommand, trailLine } from '../sending/view.ts';
import { followCommand } from '../sending/wait.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

interface TargetOptions extends CommonOptions {
  readonly module?: string;
}

interface SendOptions extends TargetOptions, BodyOptions {
  readonly ack?: ReceiptWishName;
  readonly ttl?: number;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly contentType?: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly wait?: boolean;
  readonly timeout: number;
}

/** Narrowest credential for all of this. */
const credentials = ['service'];
const LISTED = 20;
const WAIT_MS_DEFAULT = 60_000;

export function addCommandCommands(program: Command, terminal: Terminal): void {
  const command = program
    .command('command')
    .summary('commands to devices')
    .description('Commands to devices (cloud-to-device messages), and what became of them.');
  addSendCommand(command, terminal);

  const purge = forTarget(command.command('purge'))
    .description('Ends all commands that wait for a device as purged.')
    .action((id: string, options: TargetOptions) => purgeQueue(targetOf(id, options), options, terminal));
  examples(purge, ['mooring command purge dev-01']);

  const list = forTarget(command.command('list'))
    .description('Lists the newest commands of a device, waiting and ended ones, newest first.')
    .option('--top <n>', 'how many at most', wholeNumber(1, limits.commandsFoundMax), LISTED)
    .action((id: string, options: TargetOptions & { top: number }) =>
      listCommands(targetOf(id, options), options, terminal),
    );
  examples(list, ['mooring command list dev-01', 'mooring command list dev-01 --json | jq .commands[0].trail']);

  const dead = forTarget(command.command('dead-letters'))
    .description('Lists the commands that ended otherwise than completed, newest first.')
    .option('--top <n>', 'how many at most', wholeNumber(1, limits.listPageMax), limits.commandListDefault)
    .action((id: string, options: TargetOptions & { top: number }) =>
      listDeadLetters(targetOf(id, options), options, terminal),
    );
  examples(dead, ['mooring command dead-letters dev-01', 'mooring command dead-letters dev-01 --json | jq .commands']);

  const again = forTarget(command.command('send-again'))
    .argument('<sequence>', 'which one, as dead-letters shows it', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .description('Sends a dead letter again, as a new command with a new time-to-live.')
    .action((id: string, sequence: number, options: TargetOptions) =>
      sendAgain(targetOf(id, options), sequence, options, terminal),
    );
  examples(again, ['mooring command send-again dev-01 17']);

  const trail = forTarget(command.command('trail'))
    .argument('<message-id>')
    .description('Shows every step that the commands with this message id took.')
    .action((id: string, messageId: string, options: TargetOptions) =>
      showTrail(targetOf(id, options), messageId, options, terminal),
    );
  examples(trail, ['mooring command trail dev-01 reboot-7']);
}

function addSendCommand(command: Command, terminal: Terminal): void {
  const send = forTarget(command.command('send'))
    .description('Sends a command to a device. The hub keeps it until the device takes it, or its time is over.')
    .addOption(new Option('--body <text>', 'the body as text').conflicts(['bodyFile', 'jsonBody']))
    .addOption(new Option('--body-file <file>', 'the body from a file (- = stdin)').conflicts(['jsonBody']))
    .option('--json-body <json>', 'the body as JSON, with its content type')
    .addOption(new Option('--ack <which>', 'for which outcomes a receipt is wanted').choices(receiptWishes))
    .option('--ttl <time>', 'how long it may wait for the device, e.g. 60s (default: the hub’s)', durationMs)
    .option('--message-id <id>', 'names it in receipts and trails (default: one that the hub makes)')
    .option('--correlation-id <id>', 'for the device')
    .option('--content-type <type>', 'of the body')
    .option('--property <name=value>', 'an application property; may be given again', property)
    .option('--wait', 'show what becomes of it, until it has ended; fails unless it was completed')
    .addOption(
      new Option('--timeout <time>', 'with --wait: how long at most')
        .argParser(durationMs)
        .default(WAIT_MS_DEFAULT, '60s'),
    )
    .action((id: string, options: SendOptions) =>
      terminal.untilStopped((stop) => sendCommand(targetOf(id, options), options, stop, terminal)),
    );
  examples(send, [
    'mooring command send dev-01 --body reboot --wait',
    'mooring command send dev-01 --json-body \'{"interval": 10}\' --ack full --ttl 60s --property from=ops',
    'mooring command send dev-01 --body-file firmware.sig --message-id fw-7',
  ]);
}

function forTarget(command: Command): Command {
  return withLogin(command).argument('<id>').option('--module <id>', 'a module of the device instead of itself');
}

function targetOf(deviceId: string, { module }: TargetOptions): CommandTarget {
  return module === undefined ? { deviceId } : { deviceId, moduleId: module };
}

function property(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('It looks like name=value.');
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}

function draftOf(options: SendOptions, cwd: string): CommandDraft {
  const { ack, ttl, messageId, correlationId, contentType } = options;
  return {
    ...bodyOf(options, cwd),
    ...(ack === undefined ? {} : { ack }),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl / 1000 }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(options.property === undefined ? {} : { properties: options.property }),
  };
}

async function sendCommand(
  target: CommandTarget,
  options: SendOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const draft = draftOf(options, terminal.cwd);
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const sent = await api.commands.send(target, draft);
    if (options.wait !== true) {
      if (terminal.json) return print(terminal, JSON.stringify(sent));
      note(terminal, `The command ${printable(sent.messageId ?? '')} waits for the device, number ${sent.sequence}.`);
      return;
    }
    note(terminal, `Sent as ${printable(sent.messageId ?? '')}, number ${sent.sequence}. Ctrl-C ends the waiting.`);
    const command = await followCommand(api, {
      target,
      sequence: sent.sequence,
      timeoutMs: options.timeout,
      stop,
      onStep: async (entry) => {
        if (!terminal.json) await print(terminal, trailLine(entry, terminal.out));
      },
    });
    if (terminal.json) await print(terminal, JSON.stringify(command));
    tellEnd(command, options, stop, terminal);
  });
}

/** @throws Failure unless the command was completed, or the person stopped the waiting. */
function tellEnd(command: TrackedCommand, options: SendOptions, stop: AbortSignal, terminal: Terminal): void {
  const { outcome, ack } = command;
  if (outcome === undefined) {
    if (stop.aborted) return;
    throw new Failure(`The command has not ended within ${duration(options.timeout)}; it is ${command.state}.`, {
      hint: `It waits on: mooring command trail ${command.deviceId} ${command.messageId}`,
    });
  }
  const wanted = ack === 'full' || ack === (outcome === 'completed' ? 'positive' : 'negative');
  if (wanted) note(terminal, 'Its receipt waits for the back end: mooring monitor feedback shows receipts.');
  if (outcome === 'completed') return;
  throw new Failure(`The command was not completed: ${outcome}.`, {
    code: outcome,
    hint: `Send it again with: mooring command send-again ${command.deviceId} ${command.sequence}`,
  });
}

async function purgeQueue(target: CommandTarget, options: TargetOptions, terminal: Terminal): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const result = await api.commands.purge(target);
    if (terminal.json) return print(terminal, JSON.stringify(result));
    const total = result.totalMessagesPurged;
    note(terminal, `Purged ${count(total)} ${total === 1 ? 'command' : 'commands'}.`);
  });
}

async function listCommands(
  target: CommandTarget,
  options: TargetOptions & { readonly top: number },
  terminal: Terminal,
): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const found = await api.commands.find(target, { top: options.top });
    if (terminal.json) return print(terminal, JSON.stringify(found, undefined, 2));
    if (found.commands.length === 0) note(terminal, 'There are none.');
    else await print(terminal, commandTable(found, terminal));
    if (!found.isComplete) note(terminal, `These are the newest ${count(found.commands.length)}; there are more.`);
  });
}

async function listDeadLetters(
  target: CommandTarget,
  options: TargetOptions & { readonly top: number },
  terminal: Terminal,
): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const dead = await api.commands.deadLetters(target, { top: options.top });
    if (terminal.json) return print(terminal, JSON.stringify(dead, undefined, 2));
    if (dead.commands.length === 0) note(terminal, 'There are none.');
    else await print(terminal, deadLetterTable(dead, terminal));
    if (!dead.isComplete) note(terminal, `These are the newest ${count(dead.commands.length)}; there are more.`);
  });
}

async function sendAgain(
  target: CommandTarget,
  sequence: number,
  options: TargetOptions,
  terminal: Terminal,
): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const sent = await api.commands.sendAgain(target, sequence);
    if (terminal.json) return print(terminal, JSON.stringify(sent));
    note(terminal, `Sent again as number ${sent.sequence}.`);
  });
}

async function showTrail(
  target: CommandTarget,
  messageId: string,
  options: TargetOptions,
  terminal: Terminal,
): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const found = await api.commands.find(target, { messageId });
    if (terminal.json) return print(terminal, JSON.stringify(found, undefined, 2));
    if (found.commands.length === 0) {
      throw new Failure(`The device ${target.deviceId} has no command with the message id ${printable(messageId)}.`, {
        hint: 'Ended commands are kept for a set time only.',
      });
    }
    await print(terminal, found.commands.map((command) => trackedCommand(command, terminal.out)).join('\n\n'));
  });
}
