/**
 * A gateway's queue in a process of its own, to be killed: takes numbered messages without an end, says of each when it is on the disk, and
 * gives the oldest to a hub that says by standard input how many it has.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/base/clock.ts';
import { Forwarder } from '../../src/gateway/remote/forwarder.ts';
import { Queue } from '../../src/gateway/remote/queue.ts';
import { GatewayStore } from '../../src/gateway/remote/store.ts';

const [folder, first, isLinked] = [process.argv[2], Number(process.argv[3]), process.argv[4] === 'linked'];
const store = new GatewayStore({ folder, clock: systemClock, commitMs: 1 });
const queue = new Queue({ store, bytesMax: 1e9, whenFull: 'refuse' });
const forwarder = new Forwarder({ queue, clock: systemClock });
const say = (text: string): boolean => process.stdout.write(`${text}\n`);
const answers: (() => void)[] = [];
createInterface(process.stdin).on('line', () => answers.shift()?.());
if (isLinked) {
  forwarder.linked({
    send(batch) {
      say(`batch ${batch.toString('base64')}`);
      return new Promise((resolve) => answers.push(() => resolve([])));
    },
  });
}
const DEVICES = 7;
for (let n = first; ; n++) {
  const deviceId = `d${n % DEVICES}`;
  const stored = queue.put({ deviceId, created: Date.now(), properties: [], body: Buffer.from(String(n)) });
  // Said before the next commit can begin: the parent reads it, or this process was killed first.
  void stored.then(() => say(`stored ${n}`));
  if (n % 20 === 19) {
    await stored;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
