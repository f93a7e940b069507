import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import type { Log } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import { KEY_BYTES, type KeyRing } from '../../tables/key-cipher.ts';
import { syncFolder } from '../sync-folder.ts';

export interface KeyFileParts {
  /** `<data-dir>/keys/tables.key`: base64 of 32 bytes a line, the first one seals; made when it is missing. */
  readonly file: string;
  /** Base64 of 32 bytes from the environment; then no file is made, and an existing one only opens older rows. */
  readonly given?: string;
  /** The one that was given before: it only opens older rows, which are re-encrypted. */
  readonly previous?: string;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The keys that seal the tables' secrets.
 * @throws Error that says what to do when the file or the given key cannot be used; never with a key in it.
 */
export function openKeyCipher(parts: KeyFileParts): KeyRing {
  const { file, given, previous } = parts;
  const kept = existsSync(file) ? readKeyFile(file, parts.log) : [];
  const older = previous === undefined ? kept : [...kept, settingKey('previousKeyEncryptionKey', previous)];
  if (given !== undefined) {
    return { keys: [settingKey('keyEncryptionKey', given), ...older], source: 'keyEncryptionKey' };
  }
  if (kept.length > 0) return { keys: older, source: file };
  if (previous !== undefined) return { keys: [makeKeyFile(file, parts.random), ...older], source: file };
  return { keys: [makeKeyFile(file, parts.random)], source: file };
}

function settingKey(name: string, text: string): Buffer {
  const key = parseKey(text);
  if (key === undefined) throw new Error(`${name} must be base64 of ${KEY_BYTES} bytes.`);
  return key;
}

/** Puts a new key before those of the file: from now on it seals, and the others still open. @throws Error as above */
export function addKey(file: string, random: Random, log: Log): void {
  replaceKeyFile(file, [random.bytes(KEY_BYTES), ...readKeyFile(file, log)]);
}

/** Leaves only the key that seals: to be called when nothing is sealed with the others any more. @throws Error as above */
export function dropOlderKeys(file: string, log: Log): void {
  replaceKeyFile(file, readKeyFile(file, log).slice(0, 1));
}

/** A crash leaves the old file or the new one. */
function replaceKeyFile(file: string, keys: readonly Buffer[]): void {
  const draft = `${file}.${process.pid}.new`;
  writeKeys(draft, keys);
  renameSync(draft, file);
  syncFolder(path.dirname(file));
}

function writeKeys(file: string, keys: readonly Buffer[]): void {
  const handle = openSync(file, 'w', 0o600);
  try {
    writeSync(handle, keys.map((key) => `${key.toString('base64')}\n`).join(''));
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function readKeyFile(file: string, log: Log): readonly Buffer[] {
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
    log.warn({ file }, 'the key file can be read by others on this machine; give it the mode 0600');
  }
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim());
  const keys = lines.filter((line) => line !== '').map(parseKey);
  if (keys.length === 0 || keys.includes(undefined)) {
    throw new Error(`${file} must hold base64 of ${KEY_BYTES} bytes a line. Put the right file back from a copy.`);
  }
  return keys as readonly Buffer[];
}

/** The key is durable, under its name, before anything is sealed with it. */
function makeKeyFile(file: string, random: Random): Buffer {
  const key = random.bytes(KEY_BYTES);
  const folder = path.dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}.new`;
  writeKeys(draft, [key]);
  // A link refuses to replace a key file that another process has made meanwhile.
  try {
    linkSync(draft, file);
  } finally {
    unlinkSync(draft);
  }
  for (const changed of [folder, path.dirname(folder)]) syncFolder(changed);
  return key;
}

function parseKey(text: string): Buffer | undefined {
  const key = Buffer.from(text, 'base64');
  return key.length === KEY_BYTES && key.toString('base64') === text ? key : undefined;
}
