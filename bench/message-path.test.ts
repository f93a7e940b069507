import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messagePaths } from './message-path.ts';

/** As decision 0016 counts them. One more is one more that a reader has to know: it wants a reason, there. */
const FILES_MAX = { first: 43, repeated: 34, command: 55 };

test('a message passes no more files than are written down', async () => {
  const paths = await messagePaths();
  for (const kind of ['first', 'repeated', 'command'] as const) {
    const files = paths[kind];
    assert.ok(files.length <= FILES_MAX[kind], `${kind}: ${files.length} files\n${files.join('\n')}`);
  }
  // What a message cannot do without, so that a measure which sees nothing does not pass.
  for (const file of ['core/events/events.ts', 'protocols/mqtt/connection.ts', 'stores/event-log/writer.ts']) {
    assert.ok(paths.repeated.includes(file) && paths.first.includes(file), file);
  }
  assert.ok(paths.command.includes('core/devices/command-delivery.ts'), paths.command.join('\n'));
});
