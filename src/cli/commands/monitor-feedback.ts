import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import type { ReceiptJson } from '../../api/commands.ts';
import { limits } from '../../base/limits.ts';
import type { Login } from '../login/login.ts';
import { paint, printable } from '../output/table.ts';
import { count, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

interface FeedbackOptions extends CommonOptions {
  readonly peek?: boolean;
  readonly count?: number;
}

/** Between two questions when there was nothing: far less than a receipt may wait for its batch. */
const POLL_MS = 1000;

export function addMonitorFeedback(monitor: Command, terminal: Terminal): void {
  const feedback = withLogin(monitor.command('feedback'))
    .description(
      'Shows receipts of commands as they come in, until Ctrl-C, and takes them off the queue: ' +
        'no other back end gets them.',
    )
    .option('--peek', 'show those that wait now, leave them there, and end')
    .option('--count <n>', 'end after at least so many receipts', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .action((options: FeedbackOptions) =>
      terminal.untilStopped((stop) => monitorFeedback(loginFrom(options, terminal), options, stop, terminal)),
    );
  examples(feedback, [
    'mooring monitor feedback',
    'mooring monitor feedback --peek',
    'mooring monitor feedback --json | jq -r \'select(.statusCode != "Success") | .originalMessageId\'',
  ]);
}

async function monitorFeedback(
  login: Login,
  options: FeedbackOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  await withApi(login, ['service'], (api) =>
    options.peek === true ? peek(api, options, stop, terminal) : follow(api, options, stop, terminal),
  );
}

async function follow(api: ApiClient, options: FeedbackOptions, stop: AbortSignal, terminal: Terminal): Promise<void> {
  const limit = options.count ?? Number.POSITIVE_INFINITY;
  note(terminal, 'Waiting for receipts; the hub gathers them for up to 15 seconds. Ctrl-C ends it.');
  let shown = 0;
  while (!stop.aborted && shown < limit) {
    const batch = await api.commands.takeReceipts();
    if (batch === undefined) {
      await sleep(POLL_MS, undefined, { signal: stop }).catch(() => {});
      continue;
    }
    // Shown first: a receipt that is lost on the way to the reader comes again.
    await printReceipts(batch.receipts, terminal);
    await api.commands.completeReceipts(batch.lockToken);
    shown += batch.receipts.length;
  }
  note(terminal, `${count(shown)} ${shown === 1 ? 'receipt' : 'receipts'}.`);
}

/** Locks batch after batch until nothing is left to see, then gives all of them back. */
async function peek(api: ApiClient, options: FeedbackOptions, stop: AbortSignal, terminal: Terminal): Promise<void> {
  const limit = options.count ?? Number.POSITIVE_INFINITY;
  const held: string[] = [];
  let shown = 0;
  try {
    while (!stop.aborted && shown < limit && held.length < limits.cliReceiptBatchesHeldMax) {
      const batch = await api.commands.takeReceipts();
      if (batch === undefined) break;
      held.push(batch.lockToken);
      await printReceipts(batch.receipts, terminal);
      shown += batch.receipts.length;
    }
  } finally {
    // What cannot be given back is free when its lock ends.
    for (const lockToken of held) await api.commands.abandonReceipts(lockToken).catch(() => {});
  }
  note(
    terminal,
    `${count(shown)} ${shown === 1 ? 'receipt waits' : 'receipts wait'}; those of the last 15 seconds may not be shown yet.`,
  );
}

function printReceipts(receipts: readonly ReceiptJson[], terminal: Terminal): Promise<void> {
  const lines = receipts.map((receipt) => (terminal.json ? JSON.stringify(receipt) : receiptLine(receipt, terminal)));
  return print(terminal, lines.join('\n'));
}

function receiptLine(receipt: ReceiptJson, { out }: Terminal): string {
  const time = paint(out, 'dim', localTime(Date.parse(receipt.enqueuedTimeUtc)));
  const who = receipt.moduleId === undefined ? receipt.deviceId : `${receipt.deviceId}/${receipt.moduleId}`;
  const status = paint(out, receipt.statusCode === 'Success' ? 'green' : 'yellow', receipt.statusCode);
  return `${time}  ${printable(who)}  ${status}  ${printable(receipt.originalMessageId ?? '-')}`;
}
