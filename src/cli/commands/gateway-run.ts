import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { splitHostPort } from '../../api/connection-string.ts';
import type { HubCredential, HubPlace } from '../../gateway/remote/amqp/connection.ts';
import { Failure } from '../failure.ts';
import { type Login, policyCredentialOf } from '../login/login.ts';
import { paint } from '../output/table.ts';
import type { Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

interface RunOptions extends CommonOptions {
  readonly hub?: string;
  readonly config?: string;
  readonly folder?: string;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly queueMib?: number;
  readonly whenFull?: string;
  readonly linger?: number;
  readonly statusPort?: number;
  readonly verbose?: boolean;
}

/** Adds `gateway run`: an adapter beside the devices, which stores what they send while the hub is away. */
export function addGatewayRun(gateway: Command, terminal: Terminal): void {
  const run = withLogin(gateway.command('run [adapter]'))
    .summary('run an adapter beside the devices, with a queue for the time that the hub is away')
    .description(
      'Runs an adapter (a built-in one by its name, or a module by its path) on this machine. It reaches the hub by one AMQP connection ' +
        'with a policy that has DeviceConnect, and keeps messages in a folder while the hub is away. docs/gateway-remote.md says more.',
    )
    .option('--hub <host[:port]>', 'where the hub is (default: the host of the login, port 5671)')
    .option('--config <file>', 'a JSON file with what flags say, and with what the adapter may do')
    .option('--set <name=value>', 'a setting of the adapter; the value is JSON, or text', setting, {})
    .option('--folder <dir>', 'queue, memory and proofs (default: ./mooring-gateway)')
    .option('--queue-mib <n>', 'how much the queue may hold', Number)
    .addOption(new Option('--when-full <rule>', 'what a full queue does').choices(['refuse', 'dropOldest']))
    .option('--linger <seconds>', 'how long a message may wait for others, on a link that is paid by the byte', Number)
    .option('--status-port <port>', 'serve /health and /metrics on 127.0.0.1', Number)
    .option('--verbose', 'say more')
    .action((adapter: string | undefined, options: RunOptions) => runGateway(adapter, options, terminal));
  examples(run, [
    'mooring gateway run line --set port=4001',
    'MOORING_CONNECTION_STRING=... mooring gateway run ./meter.js --hub hub.example.com --config gateway.json',
  ]);
}

function setting(text: string, before: Record<string, unknown>): Record<string, unknown> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It looks like name=value.');
  const value = text.slice(at + 1);
  try {
    return { ...before, [text.slice(0, at)]: JSON.parse(value) };
  } catch {
    return { ...before, [text.slice(0, at)]: value };
  }
}

async function runGateway(adapter: string | undefined, options: RunOptions, terminal: Terminal): Promise<void> {
  const login = loginFrom(options, terminal);
  // Not before it is asked for: no other command needs any of it.
  const { loadGatewayConfig } = await import('../../gateway/remote/config.ts');
  const { operatorErrors, runGatewayProgram } = await import('../../gateway/remote/program.ts');
  const flags = {
    ...{ settings: options.set, queueMiB: options.queueMib },
    // What the command line names lies where the caller is, what the file names beside the file.
    ...(options.folder !== undefined && { folder: path.resolve(terminal.cwd, options.folder) }),
    ...(adapter !== undefined && { adapter: /[./\\]/.test(adapter) ? path.resolve(terminal.cwd, adapter) : adapter }),
    ...{ whenFull: options.whenFull, lingerSeconds: options.linger, statusPort: options.statusPort },
  };
  const { err, out } = terminal;
  const colours = { debug: 'dim', info: undefined, warn: 'yellow', error: 'red' } as const;
  try {
    const loaded = loadGatewayConfig(options.config, flags, terminal.cwd);
    await terminal.untilStopped((stop) =>
      runGatewayProgram({
        ...{ hub: placeOf(login, options.hub), credential: credentialOf(login), loaded, stop },
        httpsPort: login.ports.https,
        env: terminal.env,
        say(level, text, facts) {
          if (level === 'debug' && options.verbose !== true) return;
          const time = new Date().toISOString();
          if (options.json === true) {
            err.stream.write(`${JSON.stringify({ time, level, text, ...facts })}\n`);
            return;
          }
          const more = Object.entries(facts).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
          const colour = colours[level];
          const word = colour === undefined ? level : paint(err, colour, level);
          err.stream.write(`${time} ${word} ${text}${more.join('')}\n`);
        },
        ready: (text) => void out.stream.write(`${text}\n`),
      }),
    );
  } catch (error) {
    if (operatorErrors.some((kind) => error instanceof kind))
      throw new Failure((error as Error).message, { cause: error });
    throw error;
  }
}

function placeOf(login: Login, hub: string | undefined): HubPlace {
  const given = hub === undefined ? undefined : splitHostPort(hub);
  const port = given?.port ?? login.ports.amqps;
  if (port === undefined) {
    throw new Failure('The hub serves no AMQP port with TLS, which a gateway needs.', {
      hint: 'Start it with --amqps-port, or name its port: --hub host:port.',
    });
  }
  return {
    ...{ host: login.hostName, port, isTls: true },
    ...(given !== undefined && { address: given.host }),
    ...(login.ca !== undefined && { ca: login.ca.pem }),
  };
}

/** That of the narrowest policy that there is. */
function credentialOf(login: Login): HubCredential {
  const { key, policyName } = policyCredentialOf(login, 'device');
  return { kind: 'key', policyName, key };
}
