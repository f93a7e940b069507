import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeCertificate } from './certificate.ts';
import { anonymousLogins, type RunningServer, type ServerKind, startProgram, stopProgram } from './server.ts';

const PROGRAM = path.join(import.meta.dirname, 'bare-ingest.ts');

/** The bare Node process of `bare-ingest.ts`; `paceMs` = commits at least so far apart. */
export function bareIngest(name: string, paceMs: number): ServerKind {
  return {
    name,
    acknowledges: 'after fdatasync; nothing else is done with the message',
    async start({ connections, tls, directory, bag }): Promise<RunningServer> {
      const args = [PROGRAM, path.join(directory, 'bare.dat'), String(paceMs)];
      let ca: string | undefined;
      if (tls) {
        const made = await makeCertificate();
        ca = made.certificate;
        args.push(path.join(directory, 'server.crt'), path.join(directory, 'server.key'));
        writeFileSync(args[3], made.certificate);
        writeFileSync(args[4], made.key, { mode: 0o600 });
      }
      const { child, ready } = await startProgram(process.execPath, args, /^ready (\d+)$/m, 30_000);
      const port = Number(ready[1]);
      const logins = anonymousLogins(connections, bag);
      return { pid: child.pid as number, host: '127.0.0.1', port, ca, logins, stop: () => stopProgram(child) };
    },
  };
}
