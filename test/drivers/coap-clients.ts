/** Foreign devices that speak CoAP: libcoap's coap-client, aiocoap, Californium, openssl. Each is a child process. */
import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';

const folder = path.join(import.meta.dirname, '..', '..', 'test-servers', 'coap');
const python = path.join(folder, '.venv', 'bin', 'python');
/** Where aiocoap's own programs lie. */
export const aiocoapPrograms = path.dirname(python);
const jars = path.join(folder, 'jars');
const pionDevice = path.join(folder, 'pion', 'build', 'device');
const CLIENT_MS_MAX = 90_000;

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** False: it is there. */
export const missingLibcoap = (): string | false =>
  ['notls', 'openssl', 'gnutls'].every((tls) => isInstalled(`coap-client-${tls}`))
    ? false
    : 'NOT TESTED: coap-client is missing (Debian: libcoap3-bin)';
export const missingAiocoap = (): string | false =>
  existsSync(python) ? false : 'NOT TESTED: aiocoap is missing, run test-servers/install.sh first';
export const missingCalifornium = (): string | false =>
  existsSync(jars) && isInstalled('java')
    ? false
    : 'NOT TESTED: Californium is missing, run test-servers/install.sh first';
export const missingOpenssl = (): string | false => (isInstalled('openssl') ? false : 'NOT TESTED: openssl is missing');

/** What a client has written. It is ended when it takes too long. */
export function run(
  program: string,
  args: readonly string[],
  input: string | Buffer = '',
  where: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const child = spawn(program, args, { ...where, timeout: CLIENT_MS_MAX });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(output));
  });
}

export type LibcoapTls = 'notls' | 'openssl' | 'gnutls';

export const coapClient = (tls: LibcoapTls, args: readonly string[], input?: string | Buffer): Promise<string> =>
  run(`coap-client-${tls}`, ['-B', '20', ...args], input);

/** The same with a pre-shared key, whose bytes go through a shell, because the runtime's arguments are texts. */
export function coapClientWithKey(
  tls: LibcoapTls,
  identity: string,
  psk: Uint8Array,
  args: readonly string[],
): Promise<string> {
  const octal = [...psk].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  const script = `client="$1"; user="$2"; shift 2; exec "$client" -B 20 -u "$user" -k "$(printf '${octal}')" "$@"`;
  return run('sh', ['-c', script, 'sh', `coap-client-${tls}`, identity, ...args]);
}

export const aiocoap = (args: readonly string[]): Promise<string> =>
  run(python, [path.join(folder, 'device.py'), ...args]);

export const californium = (args: readonly string[], pskHex = ''): Promise<string> =>
  run('java', ['-cp', path.join(jars, '*'), path.join(folder, 'Device.java'), ...args], pskHex);

export const missingPion = (): string | false =>
  existsSync(pionDevice) ? false : 'NOT TESTED: the device by go-coap is missing, run test-servers/install.sh first';

/** As `main.go` says; the key goes over its standard input. */
export const goCoap = (args: readonly string[], pskHex = ''): Promise<string> => run(pionDevice, args, pskHex);

/** As `mbedtls_device.py` says; installed with aiocoap. */
export const mbedtls = (args: readonly string[], pskHex: string): Promise<string> =>
  run(python, [path.join(folder, 'mbedtls_device.py'), ...args], pskHex);

export const pskOf = (deviceKey: string): Buffer =>
  createHmac('sha256', Buffer.from(deviceKey, 'base64')).update('mooring psk').digest();

/** A device's key whose pre-shared key can be an argument of a shell: without a zero byte, and no line end behind. */
export function keyForShell(): string {
  for (;;) {
    const key = randomBytes(32).toString('base64');
    const psk = pskOf(key);
    if (!psk.includes(0) && psk.at(-1) !== 0x0a) return key;
  }
}
