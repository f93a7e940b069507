/** The SDKs speak HTTPS on 443 only, which many users may not bind: then 8443 is taken, with the reason and the remedy. */
import type { Port } from './config/config-kinds.ts';
import type { SettingSource } from './config/config-sources.ts';

const USUAL_PORT = 443;
const OTHER_PORT = 8443;

export interface OpenedHttps<Door> {
  readonly door: Door;
  /** For the user, when it is not the port that the SDKs expect. */
  readonly notice: string | undefined;
}

/**
 * Opens the port of the settings. Only the default gives way: a port that the settings name is opened or refused.
 * @param open rejects with an error whose cause carries the system's code
 */
export async function openHttpsPort<Door>(
  port: Exclude<Port, 'off'>,
  source: SettingSource,
  open: (port: number) => Promise<Door>,
): Promise<OpenedHttps<Door>> {
  try {
    return { door: await open(port), notice: undefined };
  } catch (error) {
    const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
    if (source !== 'default' || port !== USUAL_PORT || (code !== 'EACCES' && code !== 'EADDRINUSE')) throw error;
    return { door: await open(OTHER_PORT), notice: explain(code) };
  }
}

function explain(code: 'EACCES' | 'EADDRINUSE'): string {
  const reason = code === 'EACCES' ? 'this user may not bind it' : 'another program holds it';
  const remedy =
    code === 'EACCES'
      ? [
          'To serve 443, do one of these and start again:',
          `  sudo setcap cap_net_bind_service=+ep ${process.execPath}`,
          '  sudo sysctl net.ipv4.ip_unprivileged_port_start=443',
        ]
      : ['To serve 443, stop that program and start again.'];
  return [
    `HTTPS listens on ${OTHER_PORT} instead of ${USUAL_PORT}, because ${reason}. The Azure SDKs know only ${USUAL_PORT} for`,
    'HTTP and WebSockets; MQTT and AMQP are not concerned, and the command line finds the port by itself.',
    ...remedy,
    `Or choose a port with --https-port, and this note does not appear again.`,
  ].join('\n');
}
