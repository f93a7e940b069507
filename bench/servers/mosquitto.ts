import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeCertificate } from './certificate.ts';
import { anonymousLogins, freePort, type RunningServer, type ServerKind, startProgram, stopProgram } from './server.ts';

const PROGRAM = ['/usr/sbin/mosquitto', '/usr/bin/mosquitto'].find((file) => existsSync(file));

/** Debian's Mosquitto with Nagle's algorithm off, as the hub has it. Nobody subscribes: it drops what it acknowledges. */
export const mosquitto: ServerKind = {
  name: 'mosquitto',
  acknowledges: 'on receipt; the message is dropped, nothing is stored',
  async start({ connections, tls, directory, bag }): Promise<RunningServer> {
    if (PROGRAM === undefined) throw new Error('Mosquitto is not installed: run bench/peers.sh');
    const port = await freePort();
    const lines = [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'set_tcp_nodelay true',
      'user root',
      'max_inflight_messages 0',
    ];
    let ca: string | undefined;
    if (tls) {
      const made = await makeCertificate();
      ca = made.certificate;
      writeFileSync(path.join(directory, 'server.crt'), made.certificate);
      writeFileSync(path.join(directory, 'server.key'), made.key, { mode: 0o600 });
      lines.push(`certfile ${path.join(directory, 'server.crt')}`, `keyfile ${path.join(directory, 'server.key')}`);
    }
    const config = path.join(directory, 'mosquitto.conf');
    writeFileSync(config, `${lines.join('\n')}\n`);
    const { child } = await startProgram(PROGRAM, ['-c', config], /mosquitto version \S+ running/, 10_000);
    const logins = anonymousLogins(connections, bag);
    return { pid: child.pid as number, host: '127.0.0.1', port, ca, logins, stop: () => stopProgram(child) };
  },
};
