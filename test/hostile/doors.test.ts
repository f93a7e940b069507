/**
 * Each kind of attacker on each door, for a moment, beside one who behaves: the hub lives, serves him, keeps its memory within bounds
 * and logs no fault of its own. A kind of attacker has a hub of its own, and tries there what it can, one attack after the other. What he waited is printed and measured by `npm run bench -- under-attack --doors`, because machines
 * differ; here it must end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { besideAttack, createParties, watchedHub } from './beside-attack.ts';
import { doorAttacks, nameOf } from './door-attacks.ts';
import { longest, percentile, startWitness } from './witness.ts';

const seconds = Number(process.env.MOORING_HOSTILE_SECONDS ?? 0.5);
/** Of all attacks of one kind of attacker, one after the other. */
const ABOVE_IDLE_MIB_MAX = 400;
const WITNESS_MS_MAX = 20_000;
/** CPU milliseconds: ten times what is found on a fast machine. */
const TURN_MS_MAX = 250;

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

for (const who of ['anonymous', 'device', 'back end'] as const) {
  const attacks = doorAttacks.flatMap((attack, at) => (attack.who === who ? [{ attack, at }] : []));

  test(`under each attack of ${who === 'anonymous' ? 'an anonymous client' : `a ${who}`} on each door, well-behaved clients are served, and memory stays within bounds`, {
    timeout: 240_000 + attacks.length * 2000 * seconds,
  }, async () => {
    assert.ok(attacks.length > 0);
    await using watched = await watchedHub({ args: ['--refusal-delay-seconds', '1'] });
    const { hub } = watched;
    await createParties(hub);
    const witness = await startWitness(hub);
    let idle: number | undefined;
    for (const { attack, at } of attacks) {
      const result = await besideAttack(watched, witness, at, 1000 * seconds);
      const { mqtt, https, turns, peakMiB, sentBytes, receivedBytes, lines } = result;
      idle ??= result.idleMiB;
      const waited = [mqtt, https].map(
        (times) => `p99 ${percentile(times, 0.99).toFixed(0)} longest ${longest(times).toFixed(0)}`,
      );
      console.log(
        `${nameOf(attack)}: ${mib(sentBytes)} MiB sent, ${mib(receivedBytes)} received on ${lines} lines; QoS 1 ${waited[0]}, HTTPS ${waited[1]} ms; longest turn ${Math.max(0, ...turns)} ms of CPU; peak ${peakMiB} MiB`,
      );
      const { name } = attack;
      assert.ok(lines > 0 && sentBytes + (attack.door === 'TLS' ? 1 : 0) > 0, `${name}: nothing was sent`);
      assert.ok(Math.max(0, ...turns) < TURN_MS_MAX, `${name}: a turn of ${Math.max(0, ...turns)} ms of CPU`);
      assert.ok(
        longest([...mqtt, ...https]) < WITNESS_MS_MAX,
        `${name}: the witness waited ${longest([...mqtt, ...https])} ms`,
      );
      assert.ok(!(peakMiB - idle > ABOVE_IDLE_MIB_MAX), `${name}: ${peakMiB} MiB, ${idle} MiB idle`);
    }
    await witness.stop();
    const faults = hub
      .stderr()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    assert.deepEqual(faults, []);
    assert.deepEqual(await hub.stop(), { code: 0, signal: null });
  });
}
