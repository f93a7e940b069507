import type { Command } from 'commander';
import { type HealthReport, type HealthStatus, healthSchema } from '../../api/health.ts';
import { signSas } from '../../api/sas.ts';
import { limits } from '../../base/limits.ts';
import { Failure, networkFailure } from '../failure.ts';
import { type Login, policyCredentialOf, portOf } from '../login/login.ts';
import { paint, printable, table } from '../output/table.ts';
import { print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

const TOKEN_LIFE_MS = 60_000;
const colours: Readonly<Record<HealthStatus, 'green' | 'yellow' | 'red'>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
};

/** Adds `health`: what is wrong with a hub, asked of its admin port. */
export function addHealthCommand(program: Command, terminal: Terminal): void {
  const health = withLogin(program.command('health'))
    .summary('whether the hub is well, and what to do where it is not')
    .description(
      'Shows each check of the hub’s health. Exit code 0: the hub is ready, whatever it warns of; 1: it is not.',
    )
    .action((options: CommonOptions) => showHealth(loginFrom(options, terminal), terminal));
  examples(health, ['mooring health', 'mooring health --json']);
}

async function showHealth(login: Login, terminal: Terminal): Promise<void> {
  const report = await reportOf(login);
  if (terminal.json) await print(terminal, JSON.stringify(report, undefined, 2));
  else await print(terminal, shown(report, terminal));
  if (report.ready) return;
  const failed = report.checks.filter(({ status }) => status === 'fail');
  throw new Failure(`The hub is not ready: ${failed.map(({ name }) => name).join(', ')}.`, { hint: failed[0]?.remedy });
}

function shown({ checks }: HealthReport, { out }: Terminal): string {
  return table(
    out,
    [
      { title: 'check', cell: ({ name }) => printable(name) },
      { title: 'status', cell: ({ status }) => paint(out, colours[status], status) },
      { title: 'what is wrong, and what to do', cell: ({ reason, remedy }) => printable(textOf(reason, remedy)) },
    ],
    checks,
  );
}

const textOf = (reason = '', remedy?: string): string => (remedy === undefined ? reason : `${reason}. ${remedy}`);

/** A port that others can reach says what it has found only to who has a key. */
async function reportOf(login: Login): Promise<HealthReport> {
  const open = await ask(login, {});
  if (open.checks.length > 0) return open;
  const { key, policyName } = policyCredentialOf(login, 'registryRead');
  const expiresAt = Date.now() + TOKEN_LIFE_MS;
  return ask(login, { authorization: await signSas({ resource: login.hostName, key, policyName, expiresAt }) });
}

async function ask(login: Login, headers: Readonly<Record<string, string>>): Promise<HealthReport> {
  const host = login.hostName.includes(':') ? `[${login.hostName}]` : login.hostName;
  const place = `${host}:${portOf(login, 'admin')}`;
  let text: string;
  try {
    const answer = await fetch(`http://${place}/readyz`, {
      headers: { accept: 'application/json', ...headers },
      redirect: 'error',
      signal: AbortSignal.timeout(limits.cliHealthMs),
    });
    text = await answer.text();
  } catch (error) {
    throw networkFailure(error, place);
  }
  const parsed = healthSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Failure(`What answers at ${place} does not tell of a hub’s health.`, {
    hint: `Is that the hub’s admin port? ${login.source} names it.`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
