/**
 * The program of an adapter's process. Its channel to the hub is file descriptor 3; it ends when that does. What the adapter throws
 * outside of a handler ends it too: the hub starts it again.
 */
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { runChild } from './child.ts';

const channel = new net.Socket({ fd: 3, readable: true, writable: true });
const exit = (code: number): void => {
  channel.end(() => process.exit(code));
  setTimeout(() => process.exit(code), 500).unref();
};
const child = runChild({ write: (bytes) => channel.write(bytes) }, exit);
channel.on('data', (chunk: Buffer) => child.received(chunk));
channel.on('drain', () => child.drained());
channel.on('close', () => process.exit(0));
channel.on('error', () => process.exit(0));
// One that hangs does not hear that the hub has gone, and would hold its ports for ever: a thread of its own looks after that.
const watch = `const { workerData } = require('node:worker_threads');
  setInterval(() => process.ppid !== workerData && process.kill(process.pid, 'SIGKILL'), 1000);`;
new Worker(watch, { eval: true, workerData: process.ppid, resourceLimits: { maxOldGenerationSizeMb: 8 } }).unref();
// The hub stops its adapters itself, in order; a terminal's signal goes to the whole group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
