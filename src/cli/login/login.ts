import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { endpointsSchema } from '../../api/endpoints.ts';
import { Failure } from '../failure.ts';
import { type Credential, readCredential } from './connection-string.ts';

/** How a command reaches a hub and proves itself to it. */
export interface Login {
  /** Where it was found, for messages. */
  readonly source: string;
  /** The name to connect to, and the first part of every resource that a token names. */
  readonly hostName: string;
  /** Known from an endpoints file only; else the hub is asked. */
  readonly hubName: string | undefined;
  readonly ports: Ports;
  /** The CA that signs the hub's certificate; absent = the CAs that this machine trusts. */
  readonly ca: { readonly file: string; readonly pem: string } | undefined;
  /** By the name that an endpoints file gives them; a lone connection string is the only one, `given`. */
  readonly credentials: ReadonlyMap<string, Credential>;
}

/** Absent = that door is not served. */
export interface Ports {
  readonly https?: number;
  readonly mqtts?: number;
  readonly amqps?: number;
  readonly amqp?: number;
  readonly mqtt?: number;
  /** Plain HTTP; known from an endpoints file or MOORING_ADMIN_PORT only. */
  readonly admin?: number;
}

/** What the command line says about the login; never a secret. */
export interface LoginOptions {
  readonly loginFile?: string;
  readonly dataDir?: string;
  readonly caFile?: string;
}

export interface LoginSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

const defaultPorts: Ports = { https: 443, mqtts: 8883, amqps: 5671 };
const portVariables = {
  https: 'MOORING_HTTPS_PORT',
  mqtts: 'MOORING_MQTTS_PORT',
  amqps: 'MOORING_AMQPS_PORT',
  admin: 'MOORING_ADMIN_PORT',
} as const;

/**
 * Finds the login: `--login-file`, else `MOORING_CONNECTION_STRING`, else the endpoints file of the local data folder.
 * @throws Failure saying what is missing or unreadable.
 */
export function resolveLogin(options: LoginOptions, { env, cwd }: LoginSurroundings): Login {
  const caFile = options.caFile ?? env.MOORING_CA_FILE;
  const ca = caFile === undefined ? undefined : readCa(path.resolve(cwd, caFile));
  if (options.loginFile !== undefined) return fromFile(options.loginFile, cwd, env, ca);
  const text = env.MOORING_CONNECTION_STRING;
  if (text !== undefined && text !== '') return fromConnectionString(text, 'MOORING_CONNECTION_STRING', env, ca);
  const dataDir = path.resolve(cwd, options.dataDir ?? env.MOORING_DATA_DIR ?? 'mooring-data');
  const file = path.join(dataDir, 'endpoints.json');
  if (!existsSync(file)) {
    throw new Failure(`No hub to log in to: there is no ${file}.`, {
      hint: 'Start a hub here (mooring serve), or name one with --login-file FILE, --data-dir DIR or MOORING_CONNECTION_STRING.',
    });
  }
  return fromFile(file, cwd, env, ca);
}

/**
 * The credential with the first of these names, else the only one there is. Commands name the narrowest first, so that
 * an owner's key is not used where a lesser one does.
 */
export function credentialOf(login: Login, ...names: readonly string[]): Credential {
  for (const name of [...names, 'given', 'iothubowner']) {
    const found = login.credentials.get(name);
    if (found !== undefined) return found;
  }
  throw new Failure(`${login.source} holds none of the connection strings ${[...names, 'iothubowner'].join(', ')}.`);
}

/** The same as `credentialOf`, but a device's own connection string is refused: the command needs a policy. */
export function policyCredentialOf(login: Login, ...names: readonly string[]): Credential & { policyName: string } {
  const credential = credentialOf(login, ...names);
  if (credential.policyName === undefined) {
    throw new Failure(`${login.source} holds a device’s connection string; this command needs one of a policy.`, {
      hint: 'Use one with SharedAccessKeyName, such as iothubowner.',
    });
  }
  return { ...credential, policyName: credential.policyName };
}

/** The port of a door. @throws Failure if the hub does not serve it. */
export function portOf(login: Login, door: keyof Ports): number {
  const port = login.ports[door];
  if (port === undefined) {
    throw new Failure(`The hub of ${login.source} does not serve ${door}.`, {
      hint: `Start it with: mooring serve --${door}-port 0 (any free port).`,
    });
  }
  return port;
}

/** What TLS announces as the name of the server: names only, RFC 6066 section 3 leaves addresses out. */
export function serverName(host: string): string {
  return isIP(host) === 0 ? host : '';
}

function fromFile(name: string, cwd: string, env: LoginSurroundings['env'], ca: Login['ca']): Login {
  const file = name === '-' ? 'standard input' : path.resolve(cwd, name);
  const text = readLoginFile(name === '-' ? 0 : file, file).trim();
  if (!text.startsWith('{')) return fromConnectionString(text, file, env, ca);
  return fromEndpoints(text, file, ca);
}

function readLoginFile(from: string | number, file: string): string {
  try {
    return readFileSync(from, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Failure(`There is no login file ${file}.`, { code, cause: error });
    throw new Failure(`The login file ${file} cannot be read (${code}).`, {
      code,
      cause: error,
      hint: code === 'EACCES' ? 'It holds keys and belongs to the user who runs the hub.' : undefined,
    });
  }
}

function fromConnectionString(text: string, source: string, env: LoginSurroundings['env'], ca: Login['ca']): Login {
  const credential = readCredential(text, source);
  const ports: Record<string, number> = { ...defaultPorts };
  // An Event Hubs string names the AMQP port, a hub's string (when it names one at all) that of REST.
  if (credential.port !== undefined) {
    ports[credential.emulator ? 'amqp' : credential.entityPath === undefined ? 'https' : 'amqps'] = credential.port;
  } else if (credential.emulator) ports.amqp = 5672;
  for (const [door, variable] of Object.entries(portVariables)) {
    const value = env[variable];
    if (value !== undefined && /^\d{1,5}$/.test(value) && Number(value) > 0) ports[door] = Number(value);
  }
  return {
    source,
    hostName: credential.host,
    hubName: credential.entityPath,
    ports,
    ca,
    credentials: new Map([['given', credential]]),
  };
}

/** Reads what `serve` wrote (design section 2, row "ready"). */
function fromEndpoints(text: string, file: string, ca: Login['ca']): Login {
  const parsed = endpointsSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    // Neither the parser's message nor the text is shown: both may hold keys.
    const places = parsed.error.issues.slice(0, 3).map((issue) => issue.path.join('.') || 'the whole');
    throw new Failure(`${file} is not an endpoints file of this version: ${places.join(', ')} is missing or wrong.`, {
      hint: 'mooring serve writes one into its data folder each time it is ready.',
    });
  }
  const { hubName, hostName, ports, caFile, connectionStrings } = parsed.data;
  const served = Object.entries(ports).filter(([, port]) => port !== null);
  const credentials = Object.entries(connectionStrings).map(
    ([name, value]) => [name, readCredential(value, `${file} (${name})`)] as const,
  );
  return {
    source: file,
    hostName,
    hubName,
    ports: Object.fromEntries(served),
    ca: ca ?? readCa(path.resolve(path.dirname(file), caFile)),
    credentials: new Map(credentials),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readCa(file: string): { file: string; pem: string } {
  try {
    return { file, pem: readFileSync(file, 'utf8') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure(`The CA certificate ${file} cannot be read (${code}).`, { code, cause: error });
  }
}
