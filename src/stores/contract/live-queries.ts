/**
 * Live queries over a store: what clients hold is what the query answers, whatever happens to the fleet, and to them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import type { IdentityKey, PolicyPrincipal } from '../../core/identity/types.ts';
import { LiveQueries } from '../../core/query/live-queries.ts';
import type { LiveBatch } from '../../core/query/room.ts';
import { RowChanges } from '../../core/query/row-changes.ts';
import { parseQuery } from '../../core/query/statement.ts';
import { bodies, change, conditions, create, type FleetTrial, report } from './fleet.ts';
import { exampleIdentity } from './identities.ts';
import { LiveRows } from './live-rows.ts';

export const followerPrincipal: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'service',
  permissions: new Set(['ServiceConnect']),
  expiresAt: Date.now() + 3_600_000,
  scope: [],
};
const never = new AbortController().signal;

export function liveQueriesOver({ fleet, identities, twins }: FleetTrial): LiveQueries {
  const changes = new RowChanges({ identities, twins, presence: { watch: () => {} } });
  return new LiveQueries({
    ...{ matcher: fleet.matcher, changes, clock: systemClock, random: systemRandom, log: silentLog },
  });
}

/** A client that reads what comes, loses its connection when it is told to, and comes back. */
export class TestFollower {
  readonly held = new LiveRows();
  readonly text: string;
  readonly #live: LiveQueries;
  #connection = new AbortController();
  #reading: Promise<void> | undefined;
  #id: string | undefined;

  constructor(live: LiveQueries, text: string) {
    this.#live = live;
    this.text = text;
  }

  connect(): void {
    this.#connection = new AbortController();
    const { signal } = this.#connection;
    const options = this.#id === undefined ? {} : { after: this.#id };
    const batches = this.#live.follow(followerPrincipal, this.text, parseQuery(this.text), options, signal);
    this.#reading = this.#read(batches, signal);
  }

  async #read(batches: AsyncIterable<LiveBatch>, signal: AbortSignal): Promise<void> {
    for await (const { events, id } of batches) {
      // What is on its way when the connection is lost does not arrive.
      if (signal.aborted) return;
      for (const event of events) this.held.apply(event);
      this.#id = id ?? this.#id;
    }
  }

  async disconnect(): Promise<void> {
    this.#connection.abort();
    await this.#reading;
    this.held.comesBack();
  }
}

async function until(what: () => Promise<boolean>, why: () => string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await what())) {
    assert.ok(performance.now() < end, why());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** @param open Gives a new, empty store */
export function liveQueriesContract(name: string, open: () => Promise<FleetTrial>): void {
  test(`${name}: clients hold what their queries answer, while the fleet changes and they come and go`, async () => {
    const seed = Number(process.env.SEED ?? 20261201);
    const parts = await open();
    try {
      const live = liveQueriesOver(parts);
      const keys: IdentityKey[] = Array.from({ length: 16 }, (_, at) => ({ deviceId: `d${at}` }));
      const modules = keys.slice(0, 4).map(({ deviceId }) => ({ deviceId, moduleId: 'm' }));
      await create(parts, ...keys, ...modules);
      const there = new Set<IdentityKey>([...keys, ...modules]);
      const followers = fc.sample(conditions, { seed, numRuns: 24 }).map((condition, at) => {
        const from = at % 4 === 3 ? 'devices.modules' : 'devices';
        const select = ['*', 'deviceId, tags.p, properties.reported.q AS q', 'deviceId, status'][at % 3];
        return new TestFollower(live, `SELECT ${select} FROM ${from} WHERE ${condition}`);
      });
      followers.push(new TestFollower(live, 'SELECT deviceId, moduleId, tags.q FROM devices.modules'));
      followers.push(new TestFollower(live, 'SELECT * FROM devices'));
      for (const follower of followers) follower.connect();
      const steps = fc.sample(
        fc.record({ at: fc.nat(keys.length + 3), what: fc.nat(9), body: bodies, who: fc.nat(followers.length - 1) }),
        { seed, numRuns: 240 },
      );
      const gone = new Set<TestFollower>();
      for (const [number, { at, what, body, who }] of steps.entries()) {
        const key = at < keys.length ? keys[at] : modules[at - keys.length];
        const isThere = there.has(key);
        const writes: Promise<unknown>[] = [];
        if (what === 0 && isThere) {
          await parts.identities.write([{ kind: 'delete', key, ifMatch: '*' }]);
          for (const each of there)
            if (each === key || (!key.moduleId && each.deviceId === key.deviceId)) there.delete(each);
        } else if (what === 1) {
          const follower = followers[who];
          if (gone.delete(follower)) follower.connect();
          else {
            await follower.disconnect();
            gone.add(follower);
          }
        } else if (!isThere && (key.moduleId === undefined || [...there].some((each) => each === ownerOf(key, keys)))) {
          await create(parts, key);
          there.add(key);
        } else if (isThere && what < 4) {
          const status = number % 2 === 0 ? 'disabled' : 'enabled';
          const identity = { ...exampleIdentity(key), status } as const;
          await parts.identities.write([{ kind: 'replace', identity, ifMatch: '*' }]);
        } else if (isThere && what < 7) {
          writes.push(change(parts, key, { tags: body.tags, properties: { desired: body.desired } }));
        } else if (isThere) {
          for (const patch of body.reports) writes.push(report(parts, key, patch));
        }
        await Promise.all(writes);
        if (number % 20 < 19) continue;
        for (const follower of followers) {
          if (gone.has(follower)) continue;
          const query = parseQuery(follower.text);
          let answer: unknown;
          await until(
            async () => {
              answer = JSON.parse((await parts.fleet.page({ query, countMax: 1000 }, never)).text);
              const { held } = follower;
              return held.isReady && JSON.stringify(held.sorted()) === JSON.stringify(answer);
            },
            () =>
              `seed ${seed}, step ${number}: ${follower.text}\nholds ${JSON.stringify(follower.held.sorted())}\nwants ${JSON.stringify(answer)}`,
          );
        }
      }
      assert.ok(live.totals.told > 150, `only ${live.totals.told} events were told`);
      const resets = followers.flatMap(({ held }) => held.resets);
      assert.deepEqual(new Set(resets), new Set(['new']), 'a client that comes back soon goes on where it was');
      live.close();
      for (const follower of followers) if (!gone.has(follower)) await follower.disconnect();
      assert.deepEqual(live.totals.rows, 0, 'nothing is kept for those that have gone');
    } finally {
      await parts.close();
    }
  });
}

function ownerOf({ deviceId }: IdentityKey, keys: readonly IdentityKey[]): IdentityKey | undefined {
  return keys.find((key) => key.deviceId === deviceId);
}
