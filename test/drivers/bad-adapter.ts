/** An adapter that does what no adapter should, a moment after it has started: for tests of what that does to others. */
import { writeSync } from 'node:fs';
import { type AdapterDefinition, type DeviceSession, type Host, z } from '../../src/gateway/index.ts';

const settings = z.strictObject({ how: z.enum(['throw', 'hang', 'leak', 'flood', 'junk', 'babble', 'never-starts']) });

const definition: AdapterDefinition<z.infer<typeof settings>> = {
  name: 'bad',
  apiVersion: 1,
  settings,
  create: (host, { how }) => ({
    async start() {
      if (how === 'never-starts') throw new Error('no such port');
      host.clock.after(200, () => void misbehave(host, how).catch(() => {}));
    },
  }),
};
export default definition;

async function misbehave(host: Host, how: string): Promise<void> {
  if (how === 'throw') {
    setImmediate(() => {
      throw new Error('it meets something that it does not know');
    });
  }
  // Without the processor: the tests beside it need that.
  if (how === 'hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (how === 'junk') writeSync(3, Buffer.alloc(1024, 0xff));
  if (how === 'babble') {
    const word = Buffer.from('{"kind":"log","level":"error","text":"it babbles","facts":{}}');
    const head = Buffer.from([word.length + 1, 0, 0, 0, 1]);
    writeSync(3, Buffer.concat(Array.from({ length: 400 }, () => [head, word]).flat()));
  }
  if (how === 'leak') {
    const kept: string[][] = [];
    for (;;) {
      kept.push(Array.from({ length: 100_000 }, (_, at) => `${kept.length}/${at}`));
      await new Promise(setImmediate);
    }
  }
  if (how === 'flood') {
    // Devices without end, of which the bound lets some in, and messages that heed nothing.
    const sessions: DeviceSession[] = [];
    for (let at = 0; at < 200; at++) {
      const made = host
        .connect({ kind: 'vouched', device: `flood-${at}` }, {})
        .then((session) => sessions.push(session));
      await made.catch(() => {});
    }
    host.metrics.gauge('let_in', sessions.length);
    for (;;) {
      for (const session of sessions) {
        for (let at = 0; at < 100; at++) session.send({ body: 'x'.repeat(1000) }).catch(() => {});
        session.twin().catch(() => {});
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
