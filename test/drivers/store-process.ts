/** A folder store in a process of its own that a test may kill: calls come as messages, and outcomes go back. */
import { type ChildProcess, fork } from 'node:child_process';
import { systemClock } from '../../src/base/clock.ts';
import type { ObjectStore } from '../../src/core/files/object-store.ts';
import { openFolderStore } from '../../src/stores/objects/folder/folder-store.ts';

export type StoreCall =
  | { readonly what: 'stage'; readonly path: string; readonly id: string; readonly text: string }
  | { readonly what: 'commit'; readonly path: string; readonly ids: readonly string[]; readonly upload: string }
  | { readonly what: 'put'; readonly path: string; readonly text: string }
  | { readonly what: 'expire'; readonly before: number };

/** `dead`: it was killed before it answered; else a kind of `ObjectError`, or what failed. */
export type StoreOutcome = 'done' | string;

export class StoreProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (outcome: StoreOutcome) => void>();
  readonly #gone: Promise<void>;
  #calls = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        for (const answer of this.#waiting.values()) answer('dead');
        this.#waiting.clear();
        resolve();
      });
    });
    child.on('message', ({ nth, outcome }: { nth: number; outcome: StoreOutcome }) => {
      this.#waiting.get(nth)?.(outcome);
      this.#waiting.delete(nth);
    });
  }

  /** Resolves when the store is open. */
  static async start(folder: string): Promise<StoreProcess> {
    const process = new StoreProcess(fork(import.meta.filename, [folder], { stdio: 'inherit' }));
    await process.call({ what: 'expire', before: 0 });
    return process;
  }

  call(call: StoreCall): Promise<StoreOutcome> {
    const nth = this.#calls++;
    const { promise, resolve } = Promise.withResolvers<StoreOutcome>();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve('dead');
    this.#waiting.set(nth, resolve);
    this.#child.send({ nth, call }, (error) => {
      if (error !== null) resolve('dead');
    });
    return promise;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

async function serve(folder: string): Promise<void> {
  const opening = openFolderStore({ folder, clock: systemClock, isShared: true });
  const options = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };
  async function* content(text: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text);
  }
  const carryOut = async (store: ObjectStore, call: StoreCall): Promise<unknown> => {
    switch (call.what) {
      case 'stage':
        return store.stage(call.path, call.id, content(call.text), { bytesMax: 1e9, bytes: call.text.length });
      case 'commit':
        return store.commit(call.path, call.ids, { ...options, upload: call.upload });
      case 'put':
        return store.put(call.path, content(call.text), options);
      case 'expire':
        return store.expire(call.before);
    }
  };
  process.on('message', async ({ nth, call }: { nth: number; call: StoreCall }) => {
    const outcome = await carryOut(await opening, call).then(
      () => 'done',
      (error) => error.kind ?? String(error),
    );
    process.send?.({ nth, outcome });
  });
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2]);
