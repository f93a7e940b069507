import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, globSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { processTreeCpuSeconds } from '../process-facts.ts';
import { freePort, startProgram, stopProgram } from './server.ts';

/** Twins in one row each, `reported` a document, in Debian's PostgreSQL with its own defaults: a commit waits for the disk. */
export interface RunningPostgres {
  readonly version: string;
  /** Writes the table. @param document JSON of each twin's `reported` */
  fill(twins: number, document: string): void;
  /** Updates of one row each, of a row that no other client uses, each a transaction. */
  update(order: UpdateOrder): Promise<Updated>;
  stop(): Promise<void>;
}

export interface UpdateOrder {
  readonly twins: number;
  readonly clients: number;
  /** Whole ones: pgbench tells of itself once a second. */
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** For the script's file. */
  readonly directory: string;
  mark(end: 'begin' | 'end', cpuSeconds: number): void;
}

export interface Updated {
  readonly perSecond: number;
  /** Mean, as pgbench tells it. */
  readonly meanMs: number;
}

const PROGRESS = /^progress: [\d.]+ s, ([\d.]+) tps, lat ([\d.]+) ms/;

/** @param directory an empty folder on the disk that is measured, which others may pass through */
export async function startPostgres(directory: string): Promise<RunningPostgres> {
  const bin = programs();
  const folder = mkdtempSync(path.join(directory, 'postgresql-'));
  const user = processUser();
  const as = user === undefined ? [] : ['setpriv', '--reuid', user.uid, '--regid', user.gid, '--clear-groups', '--'];
  if (user !== undefined) {
    chmodSync(directory, 0o711);
    chownSync(folder, Number(user.uid), Number(user.gid));
  }
  const data = path.join(folder, 'data');
  const made = [...as, path.join(bin, 'initdb'), '--pgdata', data, '--username', 'bench', '--auth', 'trust'];
  run([...made, '--locale', 'C', '--encoding', 'UTF8']);
  const port = await freePort();
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, 'synchronous_commit=on'];
  const [command, ...args] = [...as, path.join(bin, 'postgres'), '-D', data, '-p', String(port)];
  const { child } = await startProgram(
    command,
    [...args, ...settings.flatMap((setting) => ['-c', setting])],
    /ready to accept connections/,
    20_000,
  );
  const place = ['-h', '127.0.0.1', '-p', String(port), '-U', 'bench'];
  const sql = (text: string): string =>
    run([path.join(bin, 'psql'), ...place, '-v', 'ON_ERROR_STOP=1', '-qAt', '-d', 'postgres'], text).trim();
  return {
    version: sql('show server_version;'),
    fill(twins, document) {
      sql(`drop table if exists twins;
        create table twins (id integer primary key, reported jsonb not null);
        insert into twins select id, '${document}' from generate_series(1, ${twins}) as id;
        vacuum analyze twins;
        checkpoint;`);
    },
    async update({ twins, clients, warmupSeconds, seconds, directory: at, mark }) {
      const script = path.join(at, 'update.sql');
      // No two clients have a row in common, as no two devices have a twin.
      writeFileSync(
        script,
        `\\set id 1 + :client_id + :clients * random(0, ${Math.floor(twins / clients) - 1})
\\set temperature random(0, 100000)
\\set count random(0, 1000000)
update twins set reported = reported || jsonb_build_object('temperature', :temperature::int, 'count', :count::int) where id = :id;
`,
      );
      const whole = warmupSeconds + seconds + 1;
      const bench = spawn(
        path.join(bin, 'pgbench'),
        [...place, '-n', '-M', 'prepared', '-P', '1', '-T', String(whole), '-c', String(clients), '-j', '2'].concat([
          '-D',
          `clients=${clients}`,
          '-f',
          script,
          'postgres',
        ]),
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      const ended = new Promise<void>((resolve, reject) => {
        bench.once('error', reject);
        bench.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`pgbench ended with ${code}`))));
      });
      const rates: number[] = [];
      const latencies: number[] = [];
      let told = 0;
      createInterface(bench.stderr).on('line', (line) => {
        const found = PROGRESS.exec(line);
        if (found === null) return;
        told++;
        if (told === warmupSeconds) mark('begin', processTreeCpuSeconds(child.pid as number));
        if (told <= warmupSeconds || told > warmupSeconds + seconds) return;
        rates.push(Number(found[1]));
        latencies.push(Number(found[2]));
        if (told === warmupSeconds + seconds) mark('end', processTreeCpuSeconds(child.pid as number));
      });
      await ended;
      if (rates.length !== seconds) throw new Error(`pgbench told ${rates.length} of ${seconds} seconds`);
      const mean = (of: readonly number[]): number => of.reduce((sum, value) => sum + value, 0) / of.length;
      return { perSecond: mean(rates), meanMs: mean(latencies) };
    },
    stop: () => stopProgram(child),
  };
}

/** @throws Error when it is not installed */
function programs(): string {
  const [found] = globSync('/usr/lib/postgresql/*/bin/initdb').toSorted((a, b) => versionOf(b) - versionOf(a));
  if (found === undefined || !existsSync(path.join(path.dirname(found), 'pgbench'))) {
    throw new Error('PostgreSQL is not installed: run bench/peers.sh');
  }
  return path.dirname(found);
}

const versionOf = (file: string): number => Number(file.split('/')[4]);

/** PostgreSQL refuses to run as root. */
function processUser(): { readonly uid: string; readonly gid: string } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  const line = ['postgres', 'nobody'].map((name) => lines.find((each) => each.startsWith(`${name}:`))).find(Boolean);
  const [, , uid, gid] = (line ?? '').split(':');
  if (gid === undefined) throw new Error('neither a user postgres nor nobody: PostgreSQL cannot run as root');
  return { uid, gid };
}

function run([command, ...args]: readonly string[], input = ''): string {
  const done = spawnSync(command, args, { encoding: 'utf8', input, cwd: '/' });
  if (done.status !== 0) throw new Error(`${path.basename(command)}: ${done.error?.message ?? done.stderr}`);
  return done.stdout;
}
