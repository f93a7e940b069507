/** What an adapter asks of the hub for one of its devices: the twin, and files. Each question is answered once. */
import { limits } from '../../base/limits.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import { asHubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { readReportedPatch } from '../../core/twins/rules.ts';
import { Refused } from '../../gateway/refused.ts';
import { refusedCodeOf } from './refusals.ts';
import { SessionFiles, type SessionFilesParts } from './session-files.ts';
import type { FileWord, ToAdapter, ToHub } from './words.ts';

/** What they need of the adapter. */
export interface QuestionsOwner {
  readonly hub: Hub;
  say(word: ToAdapter): void;
  /** Absent = the hub keeps no files. */
  readonly fileRooms: SessionFilesParts['rooms'] | undefined;
  /** False = as many parts of files are under way as may be; otherwise `filePartDone` is called once. */
  takesFilePart(): boolean;
  filePartDone(): void;
}

export class SessionQuestions {
  readonly #owner: QuestionsOwner;
  readonly #device: DeviceConnection;
  #waiting = 0;
  #files: SessionFiles | undefined;

  constructor(owner: QuestionsOwner, device: DeviceConnection) {
    this.#owner = owner;
    this.#device = device;
  }

  report(word: Extract<ToHub, { kind: 'report' }>): void {
    const { principal, key } = this.#device;
    this.#ask(word.r, async () => {
      const patch = readReportedPatch(Buffer.from(JSON.stringify(word.patch)));
      return this.#owner.hub.twins.report(principal, key, patch);
    });
  }

  twin(word: Extract<ToHub, { kind: 'twin' }>): void {
    const { principal, key } = this.#device;
    this.#ask(word.r, async () => {
      const { desired, reported } = JSON.parse(await this.#owner.hub.twins.readOwn(principal, key));
      const { $version: desiredVersion, ...wanted } = desired;
      const { $version: _, ...told } = reported;
      return { desired: wanted, desiredVersion, reported: told };
    });
  }

  file(word: FileWord): void {
    const { fileRooms, hub } = this.#owner;
    const { principal, key } = this.#device;
    if (fileRooms === undefined) {
      this.#owner.say({ kind: 'reply', r: word.r, code: 'invalid', text: 'The hub keeps no files.' });
      return;
    }
    if (!this.#owner.takesFilePart()) {
      this.#owner.say({ kind: 'reply', r: word.r, code: 'throttled', text: 'Too many parts of files are under way.' });
      return;
    }
    this.#files ??= new SessionFiles({ hub, rooms: fileRooms, principal, key });
    const files = this.#files;
    this.#ask(word.r, () => fileWork(files, word).finally(() => this.#owner.filePartDone()));
  }

  /** Uploads that have not ended are given up. */
  close(): void {
    this.#files?.close();
  }

  #ask(r: number, work: () => Promise<unknown>): void {
    if (this.#waiting >= limits.adapterQuestionsMax) {
      this.#owner.say({ kind: 'reply', r, code: 'throttled', text: 'Too many questions of the device wait.' });
      return;
    }
    this.#waiting++;
    work().then(
      (value) => {
        this.#waiting--;
        this.#owner.say({ kind: 'reply', r, ...(value !== undefined && { value }) });
      },
      (error: unknown) => {
        this.#waiting--;
        if (error instanceof Refused) {
          this.#owner.say({ kind: 'reply', r, code: error.code, text: error.message });
          return;
        }
        const refusal = asHubError(error);
        if (refusal.code === 'ServerError') {
          this.#owner.hub.log.error({ identity: this.#device.name, error }, 'a question of an adapter failed');
        }
        this.#owner.say({ kind: 'reply', r, code: refusedCodeOf(refusal), text: refusal.message });
      },
    );
  }
}

async function fileWork(files: SessionFiles, word: FileWord): Promise<unknown> {
  switch (word.kind) {
    case 'fileRead':
      return files.read(String(word.name), word.from, word.length);
    case 'fileBegin':
      return files.begin(String(word.name), String(word.contentType ?? 'application/octet-stream'));
    case 'fileWrite':
      return files.write(word.u, Buffer.from(String(word.bytes), 'base64'));
    case 'fileEnd':
      return files.end(word.u, word.isWhole === true);
  }
}
