import type { Command } from 'commander';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom } from './options.ts';
import { forTarget, json, targetOf } from './twin.ts';

interface InvokeOptions extends CommonOptions {
  readonly module?: string;
  readonly payload?: unknown;
  readonly timeout?: number;
  readonly connectTimeout?: number;
}

/** Narrowest credential for it. */
const credentials = ['service'];

export function addMethodCommands(program: Command, terminal: Terminal): void {
  const method = program
    .command('method')
    .summary('direct methods of devices')
    .description('Direct methods: a connected device is asked, and answers.');
  const invoke = forTarget(method.command('invoke'))
    .argument('<name>', 'of the method')
    .description('Invokes a method and shows what the device has answered.')
    .option('--payload <json>', 'what the device is sent', json)
    .option('--timeout <time>', 'how long the device may take to answer, 5s to 300s (default: 30s)', durationMs)
    .option('--connect-timeout <time>', 'how long to wait for it to connect (default: it must be there)', durationMs)
    .action((id: string, name: string, options: InvokeOptions) => invokeMethod(id, name, options, terminal));
  examples(invoke, [
    'mooring method invoke dev-01 reboot',
    'mooring method invoke dev-01 setInterval --payload \'{"seconds": 10}\' --connect-timeout 60s',
  ]);
}

async function invokeMethod(id: string, name: string, options: InvokeOptions, terminal: Terminal): Promise<void> {
  const { payload, timeout, connectTimeout } = options;
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const result = await api.twins.invoke(targetOf(id, options), {
      methodName: name,
      ...(payload !== undefined && { payload }),
      ...(timeout !== undefined && { responseTimeoutInSeconds: timeout / 1000 }),
      ...(connectTimeout !== undefined && { connectTimeoutInSeconds: connectTimeout / 1000 }),
    });
    if (!terminal.json) note(terminal, `The device answered with status ${result.status}.`);
    await print(terminal, JSON.stringify(terminal.json ? result : (result.payload ?? null)));
  });
}
