/** A device that speaks the protocol of the adapter `line`, over a socket as `nc` has it. */
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';
import type { ContractDriver, TestDevice } from '../../src/gateway/testing/contract.ts';

export interface LineDevice extends TestDevice {
  readonly socket: net.Socket;
  /** Lines that the adapter said by itself: commands, methods, changes. */
  next(word: string): Promise<string>;
  /** Sends a line and resolves with its answer. */
  ask(line: string): Promise<string>;
  readonly ended: Promise<void>;
}

/** Connects without logging in. @param socket An open one instead of a plain one, as of TLS */
export async function openLine(port: number, open?: net.Socket): Promise<LineDevice> {
  const socket = open ?? net.connect({ port, host: '127.0.0.1' });
  if (open === undefined) await once(socket, 'connect');
  const waiting: ((line: string) => void)[] = [];
  const said: string[] = [];
  const wanted: { readonly word: string; resolve(line: string): void; reject(error: Error): void }[] = [];
  let isOver = false;
  socket.on('error', () => {});
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isOver = true;
      for (const answer of waiting.splice(0)) answer('ended');
      for (const { reject } of wanted.splice(0)) reject(new Error('the connection has ended'));
      resolve();
    });
  });
  const lines = readline.createInterface({ input: socket });
  lines.on('error', () => {});
  lines.on('line', (line) => {
    if (/^(ok|no|twin)\b/.test(line)) waiting.shift()?.(line);
    else {
      said.push(line);
      hand();
    }
  });
  const hand = (): void => {
    for (const want of [...wanted]) {
      const at = said.findIndex((line) => line.startsWith(`${want.word} `));
      if (at === -1) continue;
      wanted.splice(wanted.indexOf(want), 1);
      want.resolve(said.splice(at, 1)[0]);
    }
  };
  const next = (word: string): Promise<string> =>
    new Promise((resolve, reject) => {
      if (isOver) reject(new Error('the connection has ended'));
      wanted.push({ word, resolve, reject });
      hand();
    });
  const ask = (line: string): Promise<string> =>
    new Promise((resolve) => {
      if (isOver) resolve('ended');
      waiting.push(resolve);
      socket.write(`${line}\n`);
    });
  const taken = async (line: string): Promise<void> => {
    const answer = await ask(line);
    if (answer !== 'ok') throw new Error(`${line} was answered: ${answer}`);
  };
  return {
    ...{ socket, next, ask, ended },
    send: taken,
    async command() {
      const [, id, ...words] = (await next('command')).split(' ');
      const word = { complete: 'done', reject: 'reject', abandon: 'abandon' } as const;
      return { text: words.join(' '), settle: (how) => void socket.write(`${word[how]} ${id}\n`) };
    },
    async method(answer) {
      const [, id, name, ...json] = (await next('method')).split(' ');
      const { status, payload } = answer(name, JSON.parse(json.join(' ')));
      socket.write(`answer ${id} ${status} ${JSON.stringify(payload)}\n`);
    },
    desired: async () => JSON.parse((await next('desired')).split(' ').slice(2).join(' ')),
    report: (patch) => taken(`report ${JSON.stringify(patch)}`),
    async leave() {
      socket.end();
      await ended;
    },
  };
}

export const lineDriver: ContractDriver = {
  settings: { port: 0 },
  async connect(port, device, key) {
    const line = await openLine(port);
    const answer = await line.ask(`login ${device} ${key}`);
    if (answer === 'ok') return line;
    await line.ended;
    throw new Error(`refused: ${answer}`);
  },
};
