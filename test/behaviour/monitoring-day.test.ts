/**
 * A day of a fleet in one run (`drivers/fleet-day.ts`). What the stream says is what the script has done, event for event,
 * and the registry's presence is the truth at every checkpoint. `MOORING_DAY_DEVICES` and `MOORING_DAY_ATTACK_SECONDS` size
 * it, `MOORING_DAY_THREADS` says how many listener threads the hub has, `MOORING_DAY_SEED` repeats one.
 */
import { test } from 'node:test';
import { Day, dayArgs, dayByVariables } from '../drivers/fleet-day.ts';
import { startHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

const size = dayByVariables();
const threads = ['--threads', process.env.MOORING_DAY_THREADS ?? process.env.MOORING_TEST_THREADS ?? '1'];

test(`a day of ${size.devices} devices (seed ${size.seed})`, async (t) => {
  const hub = await startHub({ args: [...dayArgs, ...threads] });
  await using day = new Day(hub, { ...size, note: (text) => t.diagnostic(text) });
  await day.play();
  await using reader = await MonitoringReader.open(day.hub);
  await day.checkTold(await reader.until((all) => day.isComplete(all)));
});
