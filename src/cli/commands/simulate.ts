import { type Command, InvalidArgumentError, Option } from 'commander';
import { limits } from '../../base/limits.ts';
import type { SimulationOptions } from '../simulation/run.ts';
import type { Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

/** Handshakes wait for the CPU, not for the network: more at once would not be faster. */
const CONNECTS_AT_ONCE_DEFAULT = 32;

export function addSimulateCommand(program: Command, terminal: Terminal): void {
  const perDevice = new Option('--rate <n>', 'messages of each device: 5, 0.1, 30/m, or max (as fast as it goes)')
    .argParser(perSecond)
    .default(1, '1 a second')
    .conflicts('totalRate');
  const simulate = withLogin(program.command('simulate'))
    .summary('many devices that send telemetry, report and answer methods')
    .description(
      'Plays many devices over the real protocol (MQTT with TLS, a token of its own for each), until Ctrl-C, ' +
        '--duration or --count ends it. Creates the devices first and deletes them afterwards.\n\n' +
        'A template is text with {{device}}, {{sequence}}, {{time}}, {{random 18 25}} and {{integer 1 6}} in it.',
    )
    .option('--devices <n>', 'how many', wholeNumber(1, limits.cliSimulatedDevicesMax), 10)
    .addOption(perDevice)
    .addOption(new Option('--total-rate <n>', 'messages of all devices together').argParser(perSecond))
    .option('--count <n>', 'end after so many messages of each device', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--duration <time>', 'end after so long: 30s, 10m, 1h', durationMs)
    .option('--payload <what>', 'bytes (256), @FILE or a template (default: a small reading in JSON)')
    .option('--property <name=value...>', 'application properties of each message', property)
    .addOption(
      new Option('--qos <level>', 'MQTT quality of service').choices(['0', '1']).argParser(qosLevel).default(1),
    )
    .option('--window <n>', 'unacknowledged messages of a device before it waits', wholeNumber(1, 0xffff), 20)
    .option(
      '--connects-at-once <n>',
      'connections that are made at the same time',
      wholeNumber(1, limits.cliConnectsAtOnceMax),
      CONNECTS_AT_ONCE_DEFAULT,
    )
    .option('--report <n>', 'reported patches of each device: 1, 0.1, 30/m (default: none)', reportRate)
    .option('--methods', 'answer direct methods, with status 200 and the payload that came')
    .option('--prefix <text>', 'what stands before the numbers of the device ids (default: sim- and a random part)')
    .option('--keep', 'do not delete the devices afterwards')
    .action(async (options: CommonOptions & SimulationOptions) => {
      // Loaded when needed: the other commands start faster without the protocol's libraries.
      const { simulate: run } = await import('../simulation/run.ts');
      await terminal.untilStopped((stop) => run(loginFrom(options, terminal), options, stop, terminal));
    });
  examples(simulate, [
    'mooring simulate --devices 100 --duration 1m',
    'mooring simulate --devices 1000 --total-rate 5000 --payload 256',
    'mooring simulate --devices 100 --report 6/m --methods',
    `mooring simulate --devices 3 --payload '{"t":{{random 18 25}}}' --property room=attic`,
  ]);
}

function perSecond(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text);
  const value = match === null ? 0 : Number(match[1]) / { s: 1, m: 60, h: 3600 }[match[2] ?? 's']!;
  if (value <= 0) throw new InvalidArgumentError('It looks like 5, 0.1, 30/m or max.');
  return value;
}

/** A device reports at a pace, not as fast as it can: nobody owes a report. */
function reportRate(text: string): number {
  const rate = perSecond(text);
  if (rate === Number.POSITIVE_INFINITY) throw new InvalidArgumentError('It looks like 1, 0.1 or 30/m.');
  return rate;
}

function qosLevel(text: string): 0 | 1 {
  if (text !== '0' && text !== '1') throw new InvalidArgumentError('It is 0 or 1.');
  return text === '0' ? 0 : 1;
}

function property(
  text: string,
  others: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('It looks like name=value.');
  return [...others, [text.slice(0, equals), text.slice(equals + 1)]];
}
