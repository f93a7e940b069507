import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { utcTime } from './utc-time.ts';

const noon = Date.UTC(2026, 10, 29, 12);
const cases: readonly (readonly [string, number])[] = [
  ['2026-11-29T12:00:00Z', noon],
  ['2026-11-29T12:00:00', noon],
  ['2026-11-29T12:00:00.5', noon + 500],
  [' 2026-11-29 12:00:00 ', noon],
  ['2026-11-29T13:30:00+01:30', noon],
  ['2026-11-29T13:30:00+0130', noon],
  ['Sun, 29 Nov 2026 12:00:00 GMT', noon],
  ['Sun, 29 Nov 2026 12:00:00', noon],
  ['2026-11-29', Date.UTC(2026, 10, 29)],
  ['soon', Number.NaN],
  ['', Number.NaN],
];

test('a time without a zone is UTC, in whatever zone the hub runs', () => {
  for (const [text, time] of cases) assert.equal(utcTime(text), time, text);
  // The zone of a process is that of its start.
  const script = `import { utcTime } from ${JSON.stringify(new URL('./utc-time.ts', import.meta.url).href)};
    console.log(JSON.stringify(${JSON.stringify(cases.map(([text]) => text))}.map(utcTime)));`;
  for (const TZ of ['America/New_York', 'Asia/Kolkata', 'UTC']) {
    const shown = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, TZ },
    });
    const expected = cases.map(([, time]) => (Number.isNaN(time) ? null : time));
    assert.deepEqual(JSON.parse(shown.toString()), expected, TZ);
  }
});
