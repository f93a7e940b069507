import type { CommandJson, DeadLetters, TrackedCommand, TrackedCommands, TrailEntryJson } from '../../api/commands.ts';
import { facts, paint, printable, table } from '../output/table.ts';
import { localTime } from '../output/values.ts';
import type { Output, Terminal } from '../terminal.ts';

/** Characters of a body that a table shows. */
const BODY_CHARS = 40;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The body as text when it is text, else its size. */
export function bodyText(command: CommandJson): string {
  const bytes = Buffer.from(command.bodyBase64, 'base64');
  try {
    return printable(utf8.decode(bytes));
  } catch {
    return `${bytes.length} bytes`;
  }
}

export function deadLetterTable({ commands }: DeadLetters, terminal: Terminal): string {
  const columns = [
    { title: 'sequence', align: 'right' as const, cell: (row: CommandJson) => String(row.sequence) },
    { title: 'outcome', cell: (row: CommandJson) => row.outcome ?? '' },
    { title: 'ended', cell: (row: CommandJson) => shownTime(row.endedTimeUtc) },
    { title: 'message id', cell: (row: CommandJson) => printable(row.messageId ?? '') },
    { title: 'body', cell: (row: CommandJson) => shortened(bodyText(row)) },
  ];
  return table(terminal.out, columns, commands);
}

export function commandTable({ commands }: TrackedCommands, terminal: Terminal): string {
  const columns = [
    { title: 'sequence', align: 'right' as const, cell: (row: CommandJson) => String(row.sequence) },
    { title: 'state', cell: (row: CommandJson) => row.outcome ?? row.state },
    { title: 'sent', cell: (row: CommandJson) => shownTime(row.enqueuedTimeUtc) },
    { title: 'message id', cell: (row: CommandJson) => printable(row.messageId ?? '') },
    { title: 'body', cell: (row: CommandJson) => shortened(bodyText(row)) },
  ];
  return table(terminal.out, columns, commands);
}

/** What a command is, and under it what happened to it. */
export function trackedCommand(command: TrackedCommand, output: Output): string {
  const state = command.outcome ?? command.state;
  const head = facts(output, [
    ['sequence', String(command.sequence)],
    ['message id', command.messageId === null ? undefined : printable(command.messageId)],
    ['state', state],
    ['expires', command.state === 'ended' ? undefined : shownTime(command.expiryTimeUtc)],
    ['body', shortened(bodyText(command))],
  ]);
  return [head, ...command.trail.map((entry) => trailLine(entry, output))].join('\n');
}

/** `2026-01-02 03:04:05  handed-over  mqtt 127.0.0.1` */
export function trailLine({ time, step, detail }: TrailEntryJson, output: Output): string {
  const text = `${paint(output, 'dim', shownTime(time))}  ${step}`;
  return detail === '' ? text : `${text}  ${printable(detail)}`;
}

const shownTime = (text: string | undefined): string => (text === undefined ? '' : localTime(Date.parse(text)));

const shortened = (text: string): string => (text.length <= BODY_CHARS ? text : `${text.slice(0, BODY_CHARS - 1)}…`);
