/**
 * `mooring data check` and `mooring data repair`: what is wrong with a data folder, and mending it. Both work on the files
 * themselves, so no hub may hold the folder.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemRandom } from '../base/random.ts';
import { checkData, type DataCheck, type DataProblem } from './data-check.ts';
import { DataFolderError, lockDataFolder } from './data-folder.ts';
import { type DataRepair, repairData } from './data-repair.ts';

const usage = `Usage: mooring data check|repair [--data-dir DIR] [--accept-loss PART,…] [--json]
  check    reads everything in the data folder and says what is wrong; changes nothing
  repair   mends what it can; what it changes is kept in DIR/damaged first, with a report of what is lost

A part that the folder has lost (check and the start of the hub name it) comes back from a copy. Where there is none,
--accept-loss says that the hub may go on without it: tables (every device, policy and command), events/NAME (sequence
numbers go on behind all that were given), tls (clients must trust a new authority), keys (the stored keys of devices and
policies: those devices are disabled).

The hub must be stopped. A key that was given to the hub (MOORING_KEY_ENCRYPTION_KEY) must be given here, too.
Exit codes: 0 sound, or mended; 1 something is wrong, or could not be mended; 2 wrong use.
`;

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** @returns the exit code: 0 sound or mended, 1 not, 2 wrong use */
export async function runData(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Output,
): Promise<number> {
  const asked = readArguments(argv, env);
  if (asked === 'help') {
    out(usage);
    return 0;
  }
  if (asked === undefined) {
    err(usage);
    return 2;
  }
  const { action, folder, json, acceptedLosses } = asked;
  let unlock = (): void => {};
  try {
    unlock = lockDataFolder(folder);
    const given = env.MOORING_KEY_ENCRYPTION_KEY;
    if (action === 'check') {
      const check = await checkData({ folder, givenKey: given });
      out(json ? `${JSON.stringify({ ok: check.problems.length === 0, ...check })}\n` : checkText(check));
      return check.problems.length === 0 ? 0 : 1;
    }
    const repair = await repairData({ folder, givenKey: given, random: systemRandom, now: Date.now(), acceptedLosses });
    out(json ? `${JSON.stringify({ ok: repair.left.length === 0, ...repair })}\n` : repairText(repair));
    return repair.left.length === 0 ? 0 : 1;
  } catch (error) {
    const message = (error as Error).message;
    if (json) out(`${JSON.stringify({ ok: false, error: message })}\n`);
    else err(error instanceof DataFolderError ? `${message}\n` : `The data folder cannot be looked at. ${message}\n`);
    return 1;
  } finally {
    unlock();
  }
}

function readArguments(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
):
  | {
      readonly action: 'check' | 'repair';
      readonly folder: string;
      readonly json: boolean;
      readonly acceptedLosses: readonly string[];
    }
  | 'help'
  | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        'data-dir': { type: 'string' },
        'accept-loss': { type: 'string', multiple: true },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) return 'help';
    const [action, ...more] = positionals;
    if ((action !== 'check' && action !== 'repair') || more.length > 0) return undefined;
    const folder = path.resolve(values['data-dir'] ?? env.MOORING_DATA_DIR ?? './mooring-data');
    const acceptedLosses = (values['accept-loss'] ?? []).flatMap((names) => names.split(','));
    if (!acceptedLosses.every((part) => /^(tables|tls|keys|events\/.+)$/.test(part))) return undefined;
    if (action === 'check' && acceptedLosses.length > 0) return undefined;
    return { action, folder, json: values.json === true, acceptedLosses };
  } catch {
    return undefined;
  }
}

function checkText(check: DataCheck): string {
  const lines = [`Data folder ${check.folder}`];
  for (const { name, segments, bytes, events, lost } of check.eventLogs) {
    lines.push(`  event log ${name}: ${segments} segments, ${bytes} bytes, ${events} events`);
    for (const { partition, firstSequence, count } of lost) {
      lines.push(
        `    partition ${partition}: ${firstSequence} to ${firstSequence + count - 1} were lost before a repair`,
      );
    }
  }
  const rows = Object.values(check.tables.rows).reduce((sum, count) => sum + count, 0);
  lines.push(`  tables: format ${check.tables.format ?? 'unknown'}, ${rows} rows`);
  if (check.problems.length === 0) return `${lines.join('\n')}\nNothing is wrong.\n`;
  lines.push(`${check.problems.length} problems:`, ...check.problems.map(problemText));
  return `${lines.join('\n')}\n`;
}

function problemText({ file, place, what, repair }: DataProblem): string {
  return `  ${file}${place === undefined ? '' : `, byte ${place}`}: ${what}\n    repair: ${repair}`;
}

function repairText(repair: DataRepair): string {
  const lines = [`Data folder ${repair.folder}`, ...repair.actions.map((action) => `  ${action}`)];
  for (const { log, partition, firstSequence, count, atMost } of repair.lost) {
    const last = firstSequence + count - 1;
    lines.push(`  lost in ${log}, partition ${partition}: ${atMost ? 'at most ' : ''}${firstSequence} to ${last}`);
  }
  if (repair.aside !== undefined) lines.push(`What was changed is kept in ${repair.aside}, with this report.`);
  if (repair.left.length > 0) {
    lines.push('Not mended:', ...repair.left.map(problemText));
  } else lines.push(repair.actions.length === 0 ? 'Nothing was wrong.' : 'The hub can be started.');
  return `${lines.join('\n')}\n`;
}
