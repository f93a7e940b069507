import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addArchiveCommands } from './commands/archive.ts';
import { addCaCommands } from './commands/ca.ts';
import { addCommandCommands } from './commands/command.ts';
import { addConfigurationCommands } from './commands/configuration.ts';
import { addConsumerGroupCommands } from './commands/consumer-group.ts';
import { addDeviceCommands } from './commands/device.ts';
import { addFileCommands } from './commands/file.ts';
import { addGatewayCommands } from './commands/gateway.ts';
import { addHealthCommand } from './commands/health.ts';
import { addJobCommands } from './commands/job.ts';
import { addMethodCommands } from './commands/method.ts';
import { addMonitorCommands } from './commands/monitor.ts';
import { addNodeCommands } from './commands/node.ts';
import { addPortalCommand } from './commands/portal.ts';
import { addQueryCommand } from './commands/query.ts';
import { addRegistryCommands } from './commands/registry.ts';
import { addRouteCommands } from './commands/route.ts';
import { addSasCommand } from './commands/sas.ts';
import { addSimulateCommand } from './commands/simulate.ts';
import { addTraceCommand } from './commands/trace.ts';
import { addTwinCommands } from './commands/twin.ts';
import { addX509Commands } from './commands/x509.ts';
import { exitCodes, Failure } from './failure.ts';
import { paint } from './output/table.ts';
import { systemTerminal, type Terminal } from './terminal.ts';

/**
 * Runs one command of the `mooring` binary against a hub, over the network only.
 * @param argv The arguments behind the script's name.
 * @returns The exit code: 0 done, 1 failed, 2 asked for wrongly.
 */
export async function runCli(argv: readonly string[], terminal: Terminal = systemTerminal()): Promise<number> {
  const program = buildProgram(terminal);
  // Read before parsing too, so that a wrong command line is told in the form that was asked for.
  terminal.json = argv.includes('--json');
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    return report(error, terminal);
  }
}

function buildProgram(terminal: Terminal): Command {
  const program = new Command('mooring')
    .description('Works with a Mooring hub: its devices, their events, load for it.')
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .exitOverride()
    .showHelpAfterError('(--help shows what is possible)')
    .configureOutput({
      writeOut: (text) => terminal.out.stream.write(text),
      writeErr: (text) => terminal.json || terminal.err.stream.write(text),
      getOutHelpWidth: () => (terminal.out.isTerminal ? terminal.out.columns() : 100),
      getErrHelpWidth: () => (terminal.err.isTerminal ? terminal.err.columns() : 100),
    })
    .addHelpText(
      'after',
      [
        '',
        'Of the hub itself (each with its own --help):',
        '  serve                     start a hub',
        '  config                    check or print its settings',
        '  data                      check or repair the data folder of a hub that is stopped',
        '',
        'The hub is found by --login-file, MOORING_CONNECTION_STRING or ./mooring-data/endpoints.json.',
        'Exit codes: 0 done, 1 failed, 2 wrong command line.',
      ].join('\n'),
    );
  addDeviceCommands(program, terminal);
  addCommandCommands(program, terminal);
  addTwinCommands(program, terminal);
  addQueryCommand(program, terminal);
  addRegistryCommands(program, terminal);
  addArchiveCommands(program, terminal);
  addConfigurationCommands(program, terminal);
  addMethodCommands(program, terminal);
  addJobCommands(program, terminal);
  addFileCommands(program, terminal);
  addConsumerGroupCommands(program, terminal);
  addRouteCommands(program, terminal);
  addMonitorCommands(program, terminal);
  addTraceCommand(program, terminal);
  addHealthCommand(program, terminal);
  addPortalCommand(program, terminal);
  addNodeCommands(program, terminal);
  addSimulateCommand(program, terminal);
  addGatewayCommands(program, terminal);
  addSasCommand(program, terminal);
  addCaCommands(program, terminal);
  addX509Commands(program, terminal);
  return program;
}

/** That of the package; the file lies two folders up from the source and from what is built of it alike. */
function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
}

/** Says what happened and what to do next, on standard error, and chooses the exit code. */
function report(error: unknown, terminal: Terminal): number {
  const stream = terminal.err.stream;
  if (error instanceof CommanderError) {
    // Commander has shown help or its message already, except to a program.
    if (error.exitCode === 0) return exitCodes.ok;
    if (terminal.json) stream.write(`${JSON.stringify({ error: error.message.replace(/^error: /, '') })}\n`);
    return exitCodes.usage;
  }
  const failure = error instanceof Failure ? error : new Failure(`This should not have happened: ${inner(error)}`);
  if (terminal.json) {
    stream.write(`${JSON.stringify({ error: failure.message, hint: failure.hint, code: failure.code })}\n`);
  } else {
    stream.write(`${paint(terminal.err, 'red', 'error:')} ${failure.message}\n`);
    if (failure.hint !== undefined) stream.write(`       ${failure.hint}\n`);
  }
  return failure.exitCode;
}

const inner = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
