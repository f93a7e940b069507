/**
 * Loaded into a node before its program (`--import`): its clock is wrong by the milliseconds that stand in the file of the variable
 * TEST_CLOCK_FILE, which may change at any time. Monotonic time and timers go on as they are.
 */
import { readFileSync } from 'node:fs';

const LOOK_MS = 50;
const file = process.env.TEST_CLOCK_FILE as string;
const TrueDate = Date;
const trueNow = Date.now;
let wrongMs = 0;

const look = (): void => {
  wrongMs = Number(readFileSync(file, 'utf8'));
};
const now = (): number => trueNow() + wrongMs;

look();
setInterval(look, LOOK_MS).unref();
globalThis.Date = new Proxy(TrueDate, {
  apply: () => new TrueDate(now()).toString(),
  construct: (target, args, by) => Reflect.construct(target, args.length === 0 ? [now()] : args, by),
  get: (target, key, receiver) => (key === 'now' ? now : Reflect.get(target, key, receiver)),
});
