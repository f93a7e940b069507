/** Bugs of a hub with members; see `canaries.ts`. */
import type { Presence } from '../../src/core/presence/ports.ts';
import type { ConnectionClaim } from '../../src/core/presence/types.ts';
import { type Canary, copyOf } from './canary.ts';
import type { Plan } from './plan.ts';

/** Connections of a device meet on different members, one of them slow. */
const meeting: Partial<Plan> = {
  ...{ members: 3, memberDeathEveryMs: 0, linkBreakEveryMs: 0, crashEveryMs: 0, stopEveryMs: 0 },
  ...{ breakEveryMs: 1500, vanishRate: 0.7, devices: 3 },
};

export const memberCanaries: readonly Canary[] = [
  {
    name: "answer a claim before the older connection's writes have settled",
    plan: meeting,
    memberPresence: (presence) => ({ ...presence, claim: (claim) => presence.claim(unwaited(claim)) }),
  },
  {
    name: 'let in a device that was disabled while it claimed its place',
    plan: { ...meeting, identitiesChange: true, registrars: 10, amqpDevices: 0, breakEveryMs: 800 },
    presence: (presence) => ({ ...presence, claim: (claim) => claimedBlindly(presence, claim) }),
  },
  {
    name: 'serve on at a member whose link has closed',
    plan: { ...meeting, vanishRate: 0, breakEveryMs: 0, linkBreakEveryMs: 5000 },
    isDeaf: true,
  },
  {
    name: 'give a place to two',
    plan: meeting,
    memberPresence: (presence) => ({ ...presence, claim: (claim) => presence.claim(kept(claim)) }),
  },
];

/** Its end is asked for, and not waited for. */
function unwaited(claim: ConnectionClaim): ConnectionClaim {
  return { ...copyOf(claim), drop: (reason) => void claim.drop(reason) };
}

/** It stays when another has its place. */
function kept(claim: ConnectionClaim): ConnectionClaim {
  return {
    ...copyOf(claim),
    drop: (reason) => (reason === 'taken-over' ? undefined : claim.drop(reason)),
  };
}

/** What ends the identity while the claim is on its way does not meet it. */
async function claimedBlindly(presence: Presence, claim: ConnectionClaim): ReturnType<Presence['claim']> {
  let isClaiming = true;
  const drop: ConnectionClaim['drop'] = (reason) => {
    if (!isClaiming || reason === 'taken-over') return claim.drop(reason);
  };
  const ticket = await presence.claim({ ...copyOf(claim), drop });
  isClaiming = false;
  return ticket;
}
