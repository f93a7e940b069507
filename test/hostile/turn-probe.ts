/**
 * Loaded into a hub that a test starts (`--import`). Each thread writes down the turns of its event loop that were busy for long, in
 * CPU time of that thread, to TURN_PROBE_FILE: what others do on the machine does not count, so a long turn is the hub's own.
 * Nothing of it is part of the program.
 */
import { appendFileSync } from 'node:fs';

const EVERY_MS = 1;
const BUSY_MS_MIN = 5;
const file = process.env.TURN_PROBE_FILE as string;

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

let last = cpuMs();
// A timer is looked at once in a turn, so what lies between two calls is the work of one turn, or of several short ones.
setInterval(() => {
  const busy = cpuMs() - last;
  if (busy >= BUSY_MS_MIN) appendFileSync(file, `${Date.now()} ${busy.toFixed(1)}\n`);
  last = cpuMs();
}, EVERY_MS).unref();
