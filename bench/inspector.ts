import { WebSocket } from 'ws';

/** What a call of the inspector's protocol answers; the caller knows its shape. */
export type InspectorAnswer = Readonly<Record<string, unknown>>;

/** The inspector of a process that was started with `--inspect=127.0.0.1:PORT`, and those of its worker threads. */
export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (answer: InspectorAnswer) => void>();
  /** The worker threads, by their sessions. */
  readonly #workers = new Set<string>();
  #last = 0;
  /** Takes a heap snapshot's pieces. */
  onSnapshotChunk: (text: string) => void = () => {};

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (text: Buffer) => {
      let message = JSON.parse(text.toString());
      if (message.method === 'NodeWorker.attachedToWorker') this.#workers.add(message.params.sessionId);
      if (message.method === 'NodeWorker.detachedFromWorker') this.#workers.delete(message.params.sessionId);
      if (message.method === 'NodeWorker.receivedMessageFromWorker') message = JSON.parse(message.params.message);
      if (message.method === 'HeapProfiler.addHeapSnapshotChunk') this.onSnapshotChunk(message.params.chunk);
      this.#answers.get(message.id)?.(message.result);
      this.#answers.delete(message.id);
    });
  }

  static async open(port: number): Promise<Inspector> {
    const list = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as [
      { webSocketDebuggerUrl: string },
    ];
    const [{ webSocketDebuggerUrl }] = list;
    const socket = new WebSocket(webSocketDebuggerUrl, { perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const inspector = new Inspector(socket);
    await inspector.call('NodeWorker.enable', { waitForDebuggerOnStart: false });
    return inspector;
  }

  /** Calls the main thread's inspector. */
  call(method: string, params: object = {}): Promise<InspectorAnswer> {
    return new Promise((resolve) => {
      this.#answers.set(++this.#last, resolve);
      this.#socket.send(JSON.stringify({ id: this.#last, method, params }));
    });
  }

  /** Calls the same of each worker thread. */
  async callWorkers(method: string, params: object = {}): Promise<readonly InspectorAnswer[]> {
    const answers: InspectorAnswer[] = [];
    for (const sessionId of this.#workers) {
      answers.push(
        await new Promise<InspectorAnswer>((resolve) => {
          const id = ++this.#last;
          this.#answers.set(id, resolve);
          const message = JSON.stringify({ id, method, params });
          void this.call('NodeWorker.sendMessageToWorker', { sessionId, message });
        }),
      );
    }
    return answers;
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}
