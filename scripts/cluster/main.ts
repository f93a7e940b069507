/**
 * `npm run cluster`: a hub of three nodes with Kafka, PostgreSQL and a balancer, all on loopback, to try what happens when a part
 * of it dies. Everything is new each time and is removed at the end: the parts are processes of a group of their own, in a folder of
 * their own, so that this process clears up where what runs them (`run.ts`) is killed, and that one where this one is.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cluster-'));
const args = [path.join(import.meta.dirname, 'run.ts'), ...process.argv.slice(2), '--folder', folder];
// A terminal's Ctrl-C comes to this process alone, and what is typed there, too.
const child = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'inherit', 'inherit', 'ipc'] });

if (child.stdin !== null) process.stdin.pipe(child.stdin).on('error', () => {});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
// What has started this process has ended.
process.on('disconnect', () => child.kill('SIGTERM'));
// A terminal that has been closed.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

child.on('exit', (code, signal) => {
  if (signal !== null) process.stderr.write(`cluster: ended by ${signal}; what it had started is ended and removed\n`);
  try {
    process.kill(-(child.pid as number), 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  process.exit(code ?? 1);
});
