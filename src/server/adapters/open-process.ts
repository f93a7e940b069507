/** An adapter in a process of its own, with the variables of the hub but for its secrets, and a channel that is a stream of bytes. */
import { spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { limits } from '../../base/limits.ts';
import type { AdapterSettings } from '../config/adapter-settings.ts';
import type { AdapterProcess, ProcessEvents } from './supervisor-types.ts';

export function openProcess({ memoryMiB }: AdapterSettings, events: ProcessEvents): AdapterProcess {
  const source = new URL('./process.ts', import.meta.url);
  const program = import.meta.url.endsWith('.ts') ? source : new URL(source.href.replace(/\.ts$/, '.js'));
  // The heap is half of what it may take: buffers, code and stacks are the rest.
  const args = [`--max-old-space-size=${Math.ceil(memoryMiB / 2)}`, fileURLToPath(program)];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: withoutSecrets(process.env),
  });
  const channel = child.stdio[3] as Duplex;
  let words = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      words = (words + chunk.toString()).slice(-limits.adapterLastWordsCharsMax);
    });
  }
  channel.on('data', (chunk: Buffer) => events.received(chunk));
  channel.on('drain', () => events.drained());
  channel.on('error', () => {});
  let hasEnded = false;
  const ended = (reason: string): void => {
    if (hasEnded) return;
    hasEnded = true;
    channel.destroy();
    events.ended(reason, words.trim());
  };
  child.on('error', (error) => ended(`it cannot be started: ${error.message}`));
  // Behind its last words, and behind what it has said to the hub.
  child.on('close', (code, signal) =>
    ended(signal === null ? `it has exited with code ${code}` : `it was ended by ${signal}`),
  );
  return {
    write: (bytes) => void (channel.writable && channel.write(bytes)),
    waiting: () => channel.writableLength,
    hold: (isHeld) => void (isHeld ? channel.pause() : channel.resume()),
    kill() {
      channel.resume();
      child.kill('SIGKILL');
    },
  };
}

/** The hub's own settings, which hold keys, are none of an adapter's business; what it needs itself is in its settings. */
function withoutSecrets(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(MOORING_|NODE_OPTIONS$|NODE_CHANNEL)/.test(name)),
  );
}
