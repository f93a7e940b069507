export type RefusedCode =
  /** The proof is wrong, or the device unknown: a device learns no more. */
  | 'unauthorized'
  | 'disabled'
  /** Too much for now; `retryAfterSeconds` says when. */
  | 'throttled'
  | 'tooLarge'
  /** A value is not allowed; the text says which. */
  | 'invalid'
  /** There is no such file, or the device may not have it. */
  | 'notFound'
  /** The host's queue, or a bound of it, is full. */
  | 'queueFull'
  /** The hub, or its store, cannot be reached now. */
  | 'unreachable'
  /** The session has ended. */
  | 'closed';

/** An expected "no" of a host. Its text may be shown to the device, except before it has proved who it is. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: RefusedCode;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: RefusedCode, text: string, retryAfterSeconds?: number) {
    super(text);
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the same may succeed later without anybody changing it. */
  get retry(): boolean {
    return this.code === 'throttled' || this.code === 'queueFull' || this.code === 'unreachable';
  }
}
