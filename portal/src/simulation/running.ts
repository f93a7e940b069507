/** Devices that run in this page, until they are stopped, the page is closed or the session ends: other screens show them meanwhile. */
import { createStore } from '../store.ts';
import { PageDeviceClient } from './page-device.ts';

export interface Run {
  readonly state: 'off' | 'connecting' | 'on' | 'lost';
  readonly sent: number;
  readonly perSecond: number;
  /** What the hub has said to the device, newest first. */
  readonly heard: readonly string[];
}

const HEARD_MAX = 5;
const SECOND_MS = 1000;

/** One device of this page. */
class RunningDevice {
  readonly shown = createStore<Run>({ state: 'off', sent: 0, perSecond: 1, heard: [] });
  #client: PageDeviceClient | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #count = 0;

  start(deviceId: string): void {
    this.stop();
    this.#set({ state: 'connecting', sent: 0 });
    const own: PageDeviceClient = new PageDeviceClient(deviceId, {
      connected: () => {
        this.#set({ state: 'on' });
        this.#count = 0;
        this.#send();
        this.#pace();
      },
      stored: () => this.#set({ sent: this.shown.get().sent + 1 }),
      command: (text) => this.#note(`command: ${text}`),
      method: (name, payload) => {
        this.#note(`method ${name}: ${JSON.stringify(payload) ?? 'no payload'}`);
        return { done: name };
      },
      desired: (patch) => {
        this.#note(`desired properties: ${JSON.stringify(patch)}`);
        own.report(patch as object);
      },
      refused: (message) => this.#note(`refused: ${message}`),
      closed: (why) => {
        if (this.#client !== own) return;
        this.#client = undefined;
        clearInterval(this.#timer);
        this.#set({ state: 'lost' });
        if (why !== '') this.#note(`the hub ended the connection: ${why}`);
      },
    });
    this.#client = own;
  }

  stop(): void {
    const own = this.#client;
    this.#client = undefined;
    clearInterval(this.#timer);
    own?.close();
    this.#set({ state: 'off' });
  }

  pace(perSecond: number): void {
    this.#set({ perSecond });
    if (this.shown.get().state === 'on') this.#pace();
  }

  #pace(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#send(), SECOND_MS / this.shown.get().perSecond);
  }

  #send(): void {
    this.#client?.send(reading(this.#count++), { room: 'page' });
  }

  #note(line: string): void {
    this.#set({ heard: [line, ...this.shown.get().heard].slice(0, HEARD_MAX) });
  }

  #set(change: Partial<Run>): void {
    this.shown.set({ ...this.shown.get(), ...change });
  }
}

const devices = new Map<string, RunningDevice>();

/** That of an id, which runs or not. */
export function deviceOfPage(deviceId: string): RunningDevice {
  const found = devices.get(deviceId) ?? new RunningDevice();
  devices.set(deviceId, found);
  return found;
}

/** A machine that warms up, hums, and vibrates. */
function reading(n: number): object {
  const wave = Math.sin(n / 8);
  return {
    temperature: Math.round((21 + 3 * wave + Math.random() * 0.4) * 100) / 100,
    humidity: Math.round(52 - 6 * wave + Math.random()),
    motor: { rpm: Math.round(1450 + 60 * Math.cos(n / 5) + Math.random() * 8), isOn: true },
  };
}
