import { type Command, Option } from 'commander';
import { Failure } from '../failure.ts';
import { credentialOf, type Login } from '../login/login.ts';
import { resourceOf, sharedAccessSignature } from '../login/token.ts';
import { isoTime } from '../output/values.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, withLogin } from './options.ts';

interface SasOptions extends CommonOptions {
  readonly policy?: string;
  readonly device?: string;
  readonly resource?: string;
  readonly ttl: number;
}

export function addSasCommand(program: Command, terminal: Terminal): void {
  const sas = withLogin(program.command('sas'))
    .summary('make a SAS token')
    .description(
      'Makes a SAS token from the connection string of the login: one of a policy of the hub, or one of a device.\n' +
        'With --device the token is of that device: signed with its own primary key, which the hub is asked for.',
    )
    .option('--policy <name>', 'which policy of an endpoints.json signs (default: iothubowner)')
    .addOption(new Option('--device <id>', 'make the token of this device').conflicts('policy'))
    .addOption(
      new Option('--ttl <duration>', 'how long it is valid: 30s, 10m, 1h30m, 2d')
        .argParser(durationMs)
        .default(3_600_000, '1h'),
    )
    .option(
      '--resource <path>',
      'what it is confined to, without a scheme: HOST/devices/d1 (default: all of the key’s)',
    )
    .action((options: SasOptions) => makeToken(loginFrom(options, terminal), options, terminal));
  examples(sas, [
    'mooring sas --ttl 10m',
    'mooring sas --device dev-01 --json',
    'mooring sas --login-file device-connection-string.txt',
  ]);
}

async function makeToken(login: Login, options: SasOptions, terminal: Terminal): Promise<void> {
  const credential = options.policy === undefined ? credentialOf(login) : namedCredential(login, options.policy);
  const resource = options.resource ?? resourceOf(credential);
  const expiresAt = Date.now() + options.ttl;
  const token = sharedAccessSignature({ resource, expiresAt, key: credential.key, policyName: credential.policyName });
  if (terminal.json) {
    const { policyName: policy, deviceId: device, moduleId: module } = credential;
    await print(terminal, JSON.stringify({ token, resource, policy, device, module, expires: isoTime(expiresAt) }));
    return;
  }
  await print(terminal, token);
  if (terminal.out.isTerminal) note(terminal, `for ${resource}, until ${isoTime(expiresAt)}`);
}

function namedCredential(login: Login, name: string): ReturnType<typeof credentialOf> {
  const found = [...login.credentials.values()].find((credential) => credential.policyName === name);
  if (found !== undefined) return found;
  const names = [...new Set([...login.credentials.values()].map((credential) => credential.policyName))];
  throw new Failure(`${login.source} holds no connection string of the policy ${name}.`, {
    hint: `It holds: ${names.filter((known) => known !== undefined).join(', ') || 'none of a policy'}.`,
  });
}
