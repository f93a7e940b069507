/**
 * A PostgreSQL of a test's own, whose processes it may kill: its folder, a port on loopback. `scripts/postgres-for-tests.sh` is the one
 * that tests share, and installs it where it is missing.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, globSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePorts } from './free-ports.ts';

const START_MS = 60_000;
const STANDBY = 'standby';

/** Why there can be none here; undefined = there can. */
export function postgresMissing(): string | undefined {
  return programs() === undefined ? 'PostgreSQL is not installed: scripts/postgres-for-tests.sh' : undefined;
}

function programs(): string | undefined {
  const onPath = spawnSync('sh', ['-c', 'command -v initdb'], { encoding: 'utf8' }).stdout.trim();
  const found = onPath !== '' ? onPath : globSync('/usr/lib/postgresql/*/bin/initdb').sort().at(-1);
  return found === undefined || !existsSync(found) ? undefined : path.dirname(realpathSync(found));
}

export interface TestPostgres extends AsyncDisposable {
  readonly url: string;
  /** `kill -9` of one process that serves a hub; the server then ends all others, too, and recovers. False = there is none. */
  killBackend(): Promise<boolean>;
  /** `kill -9` of the server itself. */
  kill(): Promise<void>;
  /** Starts it again on its data and its port, and waits until it answers. */
  restart(): Promise<void>;
  /** Another server that follows this one (streaming replication), each commit of which it has from then on before the commit is answered. */
  startStandby(): Promise<TestPostgres>;
  /** It follows no more, and takes writes. */
  promote(): Promise<void>;
}

export function startPostgres(): Promise<TestPostgres> {
  return start();
}

/** @param primary the URL of the server to be followed */
async function start(primary?: string): Promise<TestPostgres> {
  const bin = programs() as string;
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-postgres-'));
  const [port] = await freePorts(1);
  // PostgreSQL refuses to run as root.
  const isRoot = process.getuid?.() === 0;
  const idOf = (flag: string): string => execFileSync('id', [flag, user], { encoding: 'utf8' }).trim();
  const user = isRoot && spawnSync('id', ['postgres']).status === 0 ? 'postgres' : 'nobody';
  const asUser = isRoot ? ['setpriv', '--reuid', user, '--regid', idOf('-g'), '--clear-groups', '--'] : [];
  if (isRoot) chownSync(folder, Number(idOf('-u')), Number(idOf('-g')));
  const run = (...args: readonly string[]): readonly string[] => [...asUser, ...args];
  const url = `postgres://mooring@127.0.0.1:${port}/postgres`;
  const making =
    primary === undefined
      ? [
          ...[path.join(bin, 'initdb'), '--pgdata', path.join(folder, 'data'), '--username', 'mooring'],
          ...['--auth', 'trust', '--locale', 'C', '--encoding', 'UTF8', '--no-sync'],
        ]
      : [
          ...[path.join(bin, 'pg_basebackup'), '--pgdata', path.join(folder, 'data'), '--wal-method', 'stream'],
          ...['--write-recovery-conf', '--checkpoint', 'fast', '--no-sync'],
          ...['--dbname', `${primary}?application_name=${STANDBY}`],
        ];
  const [init, ...initArgs] = run(...making);
  execFileSync(init, initArgs, { cwd: folder, stdio: 'ignore' });
  let server: ChildProcess;
  const serve = async (): Promise<void> => {
    const log = openSync(path.join(folder, 'server.log'), 'a');
    const [program, ...args] = run(
      ...[path.join(bin, 'postgres'), '-D', path.join(folder, 'data'), '-p', String(port)],
      ...['-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${folder}`, '-c', 'max_connections=100'],
    );
    server = spawn(program, args, { cwd: folder, stdio: ['ignore', log, log] });
  };
  const answers = async (): Promise<void> => {
    for (const end = Date.now() + START_MS; ; ) {
      // What a killed server has left may still be there: then a new one ends at once.
      if (server.exitCode !== null || server.signalCode !== null) await serve();
      if (await asked(url, 'select 1').catch(() => undefined)) return;
      if (Date.now() > end) {
        throw new Error(
          `PostgreSQL does not answer: ${readFileSync(path.join(folder, 'server.log'), 'utf8').slice(-2000)}`,
        );
      }
      await sleep(100);
    }
  };
  const end = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  };
  await serve();
  await answers();
  return {
    url,
    async killBackend() {
      const rows = await asked(
        url,
        `select pid from pg_stat_activity where application_name = 'mooring' order by random() limit 1`,
      );
      if (rows.length === 0) return false;
      process.kill(Number(rows[0].pid), 'SIGKILL');
      return true;
    },
    kill: end,
    async restart() {
      await serve();
      await answers();
    },
    async startStandby() {
      const standby = await start(url);
      await asked(url, `alter system set synchronous_standby_names = '${STANDBY}'`);
      await asked(url, 'select pg_reload_conf()');
      const isFollowed = `select 1 from pg_stat_replication where sync_state = 'sync'`;
      for (const end = Date.now() + START_MS; (await asked(url, isFollowed)).length === 0; await sleep(100))
        if (Date.now() > end) throw new Error('the standby does not follow');
      return standby;
    },
    async promote() {
      // Its own commits would wait for a standby of its own.
      await asked(url, `select pg_promote()`);
      await asked(url, `alter system set synchronous_standby_names = ''`);
      await asked(url, 'select pg_reload_conf()');
    },
    async [Symbol.asyncDispose]() {
      await end();
      // Its children end when they see that it is gone.
      for (let tries = 0; tries < 50; tries++) {
        try {
          rmSync(folder, { recursive: true, force: true });
          return;
        } catch {
          await sleep(100);
        }
      }
    },
  };
}

async function asked(url: string, text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}
