/**
 * The hub is killed in the middle of a fleet's coming and going, and of an attack (`drivers/fleet-kill.ts`): what the
 * stream and the registry promise for that (docs/monitoring.md, Presence) holds. `MOORING_DAY_DEVICES` sizes the fleet,
 * `MOORING_DAY_KILLS` says how often, `MOORING_DAY_SEED` repeats one.
 */
import { test } from 'node:test';
import { dayByVariables } from '../drivers/fleet-day.ts';
import { KilledDay } from '../drivers/fleet-kill.ts';
import { dayArgs } from '../drivers/fleet-played.ts';
import { startHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

const { devices, seed: first } = dayByVariables();
const kills = Number(process.env.MOORING_DAY_KILLS ?? 2);

for (let seed = first; seed < first + kills; seed++) {
  test(`killed in the middle of a day of ${devices} devices (seed ${seed})`, async (t) => {
    await using day = new KilledDay(await startHub({ args: dayArgs }), {
      devices,
      seed,
      note: (text) => t.diagnostic(text),
    });
    await day.play();
    await using reader = await MonitoringReader.open(day.fleet.hub);
    day.checkTold(await reader.until((all) => day.isComplete(all)));
  });
}
