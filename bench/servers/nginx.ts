import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { cpuSeconds } from '../process-facts.ts';
import { makeCertificate } from './certificate.ts';
import type { FileServer, FileServerKind } from './file-server.ts';
import { freePort, startProgram, stopProgram } from './server.ts';

const PROGRAM = '/usr/sbin/nginx';

/**
 * Debian's nginx with its own defaults, a worker for each core, PUT by its DAV module: each block is a file. It does not sync,
 * so the bench does it, file by file, in the time that is measured.
 */
export const nginx: FileServerKind = {
  name: 'nginx',
  keeps: 'PUT of each block as a file, then fdatasync of each by the bench',
  async start(directory): Promise<FileServer> {
    if (!existsSync(PROGRAM)) throw new Error('nginx is not installed: run bench/peers.sh');
    const port = await freePort();
    const { certificate, key } = await makeCertificate();
    const file = (name: string): string => path.join(directory, name);
    for (const name of ['www', 'temp']) mkdirSync(file(name));
    writeFileSync(file('server.crt'), certificate);
    writeFileSync(file('server.key'), key, { mode: 0o600 });
    writeFileSync(file('nginx.conf'), configuration(directory, port));
    const { child } = await startProgram(
      PROGRAM,
      ['-e', 'stderr', '-c', file('nginx.conf')],
      /start worker processes/,
      10_000,
    );
    const processes = (): readonly number[] => {
      const master = child.pid as number;
      const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ');
      return [master, ...children.filter((text) => text !== '').map(Number)];
    };
    return {
      port,
      ca: certificate,
      cpuSeconds: () => processes().reduce((sum, pid) => sum + cpuSeconds(pid), 0),
      async upload(name, blocks, blockBytes) {
        const names = Array.from({ length: blocks }, (_, nth) => `${name}-${nth}`);
        return {
          blocks: names.map((each) => ({ line: `PUT /${each}`, headers: {}, bodyBytes: blockBytes })),
          async synced() {
            for (const each of names) {
              const handle = await open(file(`www/${each}`), 'r+');
              await handle.datasync();
              await handle.close();
            }
          },
          async remove() {
            for (const each of names) await rm(file(`www/${each}`));
          },
        };
      },
      async download(name, bytes) {
        const handle = await open(file(`www/${name}`), 'w');
        const piece = Buffer.alloc(4 * 2 ** 20, 'x');
        for (let left = bytes; left > 0; left -= piece.length)
          await handle.write(piece, 0, Math.min(left, piece.length));
        await handle.close();
        return { line: `GET /${name}`, headers: {}, bodyBytes: 0 };
      },
      stop: () => stopProgram(child),
    };
  },
};

function configuration(directory: string, port: number): string {
  return `daemon off;
user root;
pid ${directory}/nginx.pid;
error_log stderr notice;
worker_processes auto;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  access_log off;
  default_type application/octet-stream;
  client_max_body_size 0;
  client_body_temp_path ${directory}/temp;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${directory}/server.crt;
    ssl_certificate_key ${directory}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    root ${directory}/www;
    location / { dav_methods PUT DELETE; }
  }
}
`;
}
