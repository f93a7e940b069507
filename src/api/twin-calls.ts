/** Calls about twins and direct methods. */
import type { z } from 'zod';
import { type ApiTransport, exchange } from './exchange.ts';
import { type MethodResultJson, methodResultSchema, type TwinChangeJson, type TwinJson, twinSchema } from './twins.ts';

/** Whose twin it is. */
export interface TwinTarget {
  readonly deviceId: string;
  readonly moduleId?: string;
}

export interface MethodCallJson {
  readonly methodName: string;
  /** Any JSON value; absent = the device is sent nothing. */
  readonly payload?: unknown;
  /** 30 unless told. */
  readonly responseTimeoutInSeconds?: number;
  /** How long to wait for the device to connect; 0 unless told. */
  readonly connectTimeoutInSeconds?: number;
}

export interface TwinCalls {
  get(target: TwinTarget): Promise<TwinJson>;
  /** Merges: null deletes. */
  update(target: TwinTarget, change: TwinChangeJson, options?: { readonly ifMatch?: string }): Promise<TwinJson>;
  /** Replaces the sections that are named. */
  replace(target: TwinTarget, content: TwinChangeJson, options?: { readonly ifMatch?: string }): Promise<TwinJson>;
  invoke(target: TwinTarget, call: MethodCallJson): Promise<MethodResultJson>;
}

type ExchangeArgs = [Parameters<typeof exchange>[2], string, Parameters<typeof exchange>[4]?];

const RESPONSE_SECONDS_DEFAULT = 30;
/** The hub answers by the end of the times that it was given; the way there and back takes some as well. */
const ANSWER_MS_MORE = 5000;

export function twinCalls(transport: ApiTransport): TwinCalls {
  const path = ({ deviceId, moduleId }: TwinTarget): string => {
    const device = `/twins/${encodeURIComponent(deviceId)}`;
    return moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(moduleId)}`;
  };
  const answered = async <T>(schema: z.ZodType<T>, ...args: ExchangeArgs): Promise<T> =>
    (await exchange(transport, schema, ...args)).data;
  return {
    get: (target) => answered(twinSchema, 'GET', path(target)),
    update: (target, body, { ifMatch } = {}) =>
      answered(twinSchema, 'PATCH', path(target), { body, ...(ifMatch && { ifMatch }) }),
    replace: (target, body, { ifMatch } = {}) =>
      answered(twinSchema, 'PUT', path(target), { body, ...(ifMatch && { ifMatch }) }),
    invoke: (target, body) => {
      const { responseTimeoutInSeconds = RESPONSE_SECONDS_DEFAULT, connectTimeoutInSeconds = 0 } = body;
      const timeoutMs = (responseTimeoutInSeconds + connectTimeoutInSeconds) * 1000 + ANSWER_MS_MORE;
      return answered(methodResultSchema, 'POST', `${path(target)}/methods`, { body, timeoutMs });
    },
  };
}
