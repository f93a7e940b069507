/** The words between an adapter's process and the hub (`frames.ts`). Plain data. */

import type { RefusedCode } from '../../gateway/refused.ts';
import type { CloseReason, Facts, FilePart, JsonObject, MethodAnswer, Settlement } from '../../gateway/types.ts';

/** A proof as it crosses: certificates in base64. */
export type SentProof =
  | { readonly kind: 'key'; readonly device: string; readonly key: string }
  | { readonly kind: 'token'; readonly device: string; readonly token: string }
  | { readonly kind: 'certificate'; readonly device: string; readonly chain: readonly string[] }
  | { readonly kind: 'psk'; readonly device: string }
  | { readonly kind: 'vouched'; readonly device: string };

export type Wants = { readonly command: boolean; readonly method: boolean; readonly desired: boolean };

/** Adapter -> hub. `s` names a session, `r` a question that is answered. */
export type ToHub =
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly text: string }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly text: string;
      readonly facts: Facts;
    }
  | { readonly kind: 'health'; readonly status: 'ok' | 'warn' | 'fail'; readonly text: string }
  | { readonly kind: 'listening'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'pong';
      readonly memoryBytes: number;
      readonly numbers: Readonly<Record<string, number>>;
      readonly gauges: readonly string[];
    }
  | {
      readonly kind: 'connect';
      readonly s: number;
      readonly proof: SentProof;
      readonly wants: Wants;
      readonly peer?: string;
      readonly address?: string;
      readonly commandsAtOnce?: number;
      readonly modelId?: string;
    }
  | { readonly kind: 'report'; readonly s: number; readonly r: number; readonly patch: JsonObject }
  | { readonly kind: 'twin'; readonly s: number; readonly r: number }
  | { readonly kind: 'settle'; readonly s: number; readonly id: string; readonly how: Settlement | 'release' }
  | { readonly kind: 'answer'; readonly s: number; readonly id: string; readonly answer: MethodAnswer }
  | { readonly kind: 'taken'; readonly s: number; readonly version: number }
  | { readonly kind: 'close'; readonly s: number; readonly r: number; readonly reason?: 'idle' }
  | { readonly kind: 'sharedKey'; readonly r: number; readonly device: string; readonly peer?: string }
  | FileWord;

/** Questions about files; `u` names an upload, as the answer to its `begin` has said. Bytes are base64. */
export type FileWord =
  | {
      readonly kind: 'fileRead';
      readonly s: number;
      readonly r: number;
      readonly name: string;
      readonly from: number;
      readonly length: number;
    }
  | {
      readonly kind: 'fileBegin';
      readonly s: number;
      readonly r: number;
      readonly name: string;
      readonly contentType?: string;
    }
  | { readonly kind: 'fileWrite'; readonly s: number; readonly r: number; readonly u: string; readonly bytes: string }
  | { readonly kind: 'fileEnd'; readonly s: number; readonly r: number; readonly u: string; readonly isWhole: boolean };

/** The answer to `fileRead`. */
export type SentFilePart = Omit<FilePart, 'bytes'> & { readonly bytes: string };

/** Hub -> adapter. */
export type ToAdapter =
  | {
      readonly kind: 'start';
      /** As the settings name it, and where paths begin. */
      readonly adapter: string;
      readonly folder: string;
      readonly settings: unknown;
      /** File of its memory. */
      readonly memory: string;
      readonly certificate?: { readonly cert: readonly string[]; readonly key: readonly string[] };
    }
  | { readonly kind: 'certificate'; readonly cert: readonly string[]; readonly key: readonly string[] }
  | { readonly kind: 'stop'; readonly graceMs: number }
  | { readonly kind: 'ping' }
  | { readonly kind: 'opened'; readonly s: number }
  | {
      readonly kind: 'refused';
      readonly s: number;
      readonly code: RefusedCode;
      readonly text: string;
      readonly retry?: number;
    }
  /** The oldest message of the session that is not answered. */
  | { readonly kind: 'refusedMessage'; readonly s: number; readonly code: RefusedCode; readonly text: string }
  | {
      readonly kind: 'reply';
      readonly r: number;
      readonly value?: unknown;
      readonly code?: RefusedCode;
      readonly text?: string;
    }
  | {
      readonly kind: 'method';
      readonly s: number;
      readonly id: string;
      readonly name: string;
      readonly payload?: unknown;
    }
  | { readonly kind: 'over'; readonly s: number; readonly id: string }
  | { readonly kind: 'desired'; readonly s: number; readonly version: number; readonly patch: JsonObject }
  | { readonly kind: 'writable'; readonly s: number; readonly isWritable: boolean }
  | { readonly kind: 'closed'; readonly s: number; readonly reason: CloseReason };

/** Head of a `command` frame. */
export interface CommandHead {
  readonly s: number;
  readonly id: string;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly deliveryCount: number;
  readonly expires: number;
}

/** Head of a `message` frame: what is not its body. Short names, for there is one with each message. */
export interface MessageHead {
  readonly m?: string;
  readonly c?: string;
  /** UTC milliseconds. */
  readonly t?: number;
  readonly ct?: string;
  readonly ce?: string;
  readonly p?: Readonly<Record<string, string>>;
  readonly a?: string;
}
