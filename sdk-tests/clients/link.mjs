// How a client's script talks with its test: JSON lines, the job first. See support/client.ts.
import { createInterface } from 'node:readline';

const lines = createInterface({ input: process.stdin });
const waiting = [];
const orders = [];
let onOrder;

lines.on('line', (line) => {
  const order = JSON.parse(line);
  if (onOrder) onOrder(order);
  else if (waiting.length > 0) waiting.shift()(order);
  else orders.push(order);
});
// The test has no more use for this client: SDKs keep timers and sockets, so the process is ended.
lines.on('close', finish);

/** The first line: what the test wants. */
export function job() {
  return orders.length > 0 ? Promise.resolve(orders.shift()) : new Promise((resolve) => waiting.push(resolve));
}

export function report(kind, fields = {}) {
  process.stdout.write(`${JSON.stringify({ kind, ...fields })}\n`);
}

/** Ends the process when everything reported has left it. */
export function finish() {
  process.stdout.write('', () => process.exit(0));
}

/** What the SDKs hand over for a lost connection holds its cause in a member. */
export function describeError(error) {
  if (error?.transportObj instanceof Error) return describeError(error.transportObj);
  return { name: error?.name ?? error?.constructor?.name, message: String(error?.message ?? error), code: error?.code };
}

/** Answers each order `{op, args, id}` with what `operations[op](...args)` resolves to, or its error. */
export function serve(operations) {
  onOrder = async ({ op, args, id }) => {
    try {
      report(`answer ${id}`, { value: await operations[op](...args) });
    } catch (error) {
      report(`answer ${id}`, { error: describeError(error) });
    }
  };
  for (const order of orders.splice(0)) onOrder(order);
}
