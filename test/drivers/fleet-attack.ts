/** Strangers who try wrong keys on the devices of a fleet, from several loopback addresses, in a process of their own. */
import { type Connects, type ConnectsResult, startConnects } from '../../bench/load/connects.ts';
import type { TestHub } from './hub.ts';
import { tokenOf } from './monitoring.ts';

/** Other systems than Linux have one loopback address. */
export const attackers = process.platform === 'linux' ? ['127.0.0.2', '127.0.0.3', '127.0.0.4'] : ['127.0.0.1'];

/** Over plain MQTT, attempts per second that are due. Over TLS it is as many as the machine takes. */
export const PLAIN_PER_SECOND = 1000;
/** Attempts over TLS at the same time: enough to keep a hub busy that does not make them wait. */
const TLS_IN_FLIGHT = 32;
/** Of a fleet of any size, more names than are told apart under one address. */
const NAMES = 40;
const ATTEMPTS_MAX = 1_000_000;

export interface Attack {
  readonly connects: Connects;
  /** How it is to be told: what was attempted, at which rate. */
  describe(result: ConnectsResult): string;
}

/** @param names devices that exist; the wrong keys of all attempts on one of them are the same */
export async function startAttack(
  hub: TestHub,
  kind: 'tls' | 'plain',
  names: readonly string[],
  secondsMax: number,
): Promise<Attack> {
  const { hostName, ports } = hub.endpoints;
  const logins = await Promise.all(
    names.slice(0, NAMES).map(async (id, at) => ({
      clientId: id,
      username: `${hostName}/${id}/?api-version=2021-04-12`,
      password: await tokenOf(id, Buffer.alloc(32, at).toString('base64'), hostName),
    })),
  );
  const order =
    kind === 'tls'
      ? { port: ports.mqtts ?? 0, ca: hub.ca, inFlightMax: TLS_IN_FLIGHT, attemptsMax: ATTEMPTS_MAX }
      : {
          port: ports.mqtt ?? 0,
          inFlightMax: PLAIN_PER_SECOND,
          ratePerSecond: PLAIN_PER_SECOND,
          attemptsMax: PLAIN_PER_SECOND * secondsMax,
        };
  // Plain attempts are bounded by their number: a generator that falls behind is given the time for all of them.
  const seconds = kind === 'tls' ? secondsMax : secondsMax * 10;
  const connects = await startConnects({ ...order, logins, addresses: attackers, secondsMax: seconds });
  return {
    connects,
    describe({ begun, seconds }) {
      const wish = kind === 'tls' ? 'over TLS, as fast as the machine takes' : `plain, ${PLAIN_PER_SECOND}/s due`;
      return `${begun} wrong keys ${wish}: ${Math.round(begun / seconds)}/s for ${seconds.toFixed(1)} s from ${attackers.length} addresses`;
    },
  };
}
