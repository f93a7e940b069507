import { type Command, Option } from 'commander';
import { signSas } from '../../api/sas.ts';
import { Failure } from '../failure.ts';
import { type Credential, resourceOf } from '../login/connection-string.ts';
import { credentialOf, type Login } from '../login/login.ts';
import { isoTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
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
      'Makes a SAS token from the connection string of the login: one of a policy of the hub, or one of a device. ' +
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
  const credential = await signerOf(login, options);
  const { key, policyName } = credential;
  const resource = options.resource ?? resourceOf(credential);
  const expiresAt = Date.now() + options.ttl;
  const token = await signSas({ resource, expiresAt, key, ...(policyName === undefined ? {} : { policyName }) });
  if (terminal.json) {
    const { policyName: policy, deviceId: device, moduleId: module } = credential;
    await print(terminal, JSON.stringify({ token, resource, policy, device, module, expires: isoTime(expiresAt) }));
    return;
  }
  await print(terminal, token);
  if (terminal.out.isTerminal) note(terminal, `for ${resource}, until ${isoTime(expiresAt)}`);
}

async function signerOf(login: Login, options: SasOptions): Promise<Credential> {
  if (options.device !== undefined) return await deviceCredential(login, options.device);
  if (options.policy === undefined) return credentialOf(login);
  const all = [...login.credentials.values()];
  const found = all.find((credential) => credential.policyName === options.policy);
  if (found !== undefined) return found;
  const names = new Set(all.flatMap((credential) => credential.policyName ?? []));
  throw new Failure(`${login.source} holds no connection string of the policy ${options.policy}.`, {
    hint: `It holds: ${[...names].join(', ') || 'none of a policy'}.`,
  });
}

/** What a device's own connection string would hold. Asked of the registry. */
function deviceCredential(login: Login, deviceId: string): Promise<Credential> {
  return withApi(login, ['registryRead'], async (api) => {
    const key = (await api.devices.get(deviceId)).authentication.symmetricKey.primaryKey;
    if (key === null || key === '') {
      throw new Failure(`The device ${deviceId} has no key: it proves itself by a certificate.`);
    }
    const none = { port: undefined, policyName: undefined, moduleId: undefined, entityPath: undefined };
    return { ...none, host: login.hostName, key, deviceId, emulator: false };
  });
}
