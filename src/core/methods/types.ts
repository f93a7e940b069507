/** Direct methods: a back end asks a connected device, and gets its answer. Plain data, no behaviour. */

export interface MethodRequest {
  readonly name: string;
  /** JSON text, as the caller wrote it; absent = the device is sent nothing. */
  readonly payload?: string;
  /** How long the device may take to answer once it has been asked. */
  readonly responseMs: number;
  /** How long the hub waits for the device to be connected and to listen for methods; 0 = it must be there. */
  readonly connectMs: number;
}

export interface MethodResult {
  readonly status: number;
  /** JSON text, as the device wrote it; `null` where it wrote nothing. */
  readonly payload: string;
}

/** What crosses to the connection: `Call.value` of kind `METHOD`. */
export interface MethodCall {
  readonly name: string;
  readonly payload?: string;
  /** What is left of the time to wait for the device to listen. */
  readonly connectMs: number;
  readonly responseMs: number;
}

/** `Call.kind` of a method. */
export const METHOD = 'method';
