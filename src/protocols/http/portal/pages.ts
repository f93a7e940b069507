/**
 * The files of the page, from memory: a request chooses one by its name in a map and never reaches the file system. Vite
 * writes `index.html` and `assets/…` with a hash in each name; the folder is looked at again when its `index.html` is another.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';

/** First path segments that the page's own router answers; anything else is 404. */
export const pagePaths = [
  '',
  'sign-in',
  'first-run',
  'overview',
  'devices',
  'device',
  'telemetry',
  'activity',
  'jobs',
  'queries',
  'settings',
  'help',
] as const;

/** What a page may load, and who may show it in a frame: nothing from elsewhere, and no page. */
export const pageSecurity: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; " +
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
    "require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.md': 'text/markdown; charset=utf-8',
};

interface PageFile {
  readonly bytes: Buffer;
  /** Absent where it would not be smaller. */
  readonly gzipped: Buffer | undefined;
  readonly type: string;
  readonly etag: string;
}

/** Where the page is, once it is built. */
export class Pages {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #files: ReadonlyMap<string, PageFile> = new Map();
  /** Of `index.html`, as it was read. */
  #built = '';
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  /** @param folder what Vite has written, or will write */
  constructor(folder: string, clock: Clock, log: Log) {
    this.#folder = folder;
    this.#clock = clock;
    this.#log = log;
  }

  /** @param name `index.html`, or a name below `assets/` */
  async find(name: string): Promise<PageFile | undefined> {
    await this.#look();
    return this.#files.get(name);
  }

  /** What the last build said where there is no page: `scripts/build-portal.mjs` writes it. */
  async trouble(): Promise<string | undefined> {
    try {
      const text = await readFile(path.join(this.#folder, '..', 'dist.state'), 'utf8');
      return text.startsWith('failed') ? text.slice(0, 2000) : undefined;
    } catch {
      return undefined;
    }
  }

  async #look(): Promise<void> {
    const now = this.#clock.monotonic();
    if (this.#looking === undefined && now - this.#lookedAt >= limits.portalLookMs) {
      this.#lookedAt = now;
      this.#looking = this.#read().finally(() => {
        this.#looking = undefined;
      });
    }
    // What is known is served meanwhile.
    if (this.#files.size === 0) await this.#looking;
  }

  async #read(): Promise<void> {
    try {
      const { mtimeMs, size } = await stat(path.join(this.#folder, 'index.html'));
      const built = `${mtimeMs} ${size}`;
      if (built === this.#built) return;
      const read = await readPages(this.#folder);
      // A page that is open may still ask for parts of the build before this one.
      this.#files = new Map([...[...this.#files].slice(-limits.portalFilesMax), ...read]);
      this.#built = built;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#log.warn({ error: (error as Error).message }, 'the files of the portal cannot be read');
    }
  }
}

/** @throws Error where there are more than a portal has */
async function readPages(folder: string): Promise<Map<string, PageFile>> {
  const names = ['index.html', ...(await namesIn(folder, 'assets')), ...(await namesIn(folder, '.'))];
  const files = new Map<string, PageFile>();
  let total = 0;
  for (const name of new Set(names)) {
    const type = types[path.extname(name)];
    if (type === undefined || name.endsWith('.map')) continue;
    const bytes = await readFile(path.join(folder, name));
    total += bytes.length;
    if (total > limits.portalFilesBytesMax || files.size >= limits.portalFilesMax) {
      throw new Error(`${folder} holds more than a portal: delete it and start the hub again.`);
    }
    const smaller = await promisify(gzip)(bytes, { level: 9 });
    files.set(name, {
      ...{ bytes, type },
      gzipped: smaller.length < bytes.length ? smaller : undefined,
      etag: createHash('sha256').update(bytes).digest('base64url').slice(0, 22),
    });
  }
  return files;
}

async function namesIn(folder: string, part: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path.join(folder, part), { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => (part === '.' ? name : `${part}/${name}`));
  } catch {
    return [];
  }
}

/** Answers with one file, or says that the page is not there yet. */
export async function sendPage(
  pages: Pages,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const file = await pages.find(name);
  reply.headers(pageSecurity);
  if (file === undefined) return name === 'index.html' ? sendAbsent(await pages.trouble(), reply) : notThere(reply);
  const isNamedByContent = name.startsWith('assets/');
  reply.headers({
    'cache-control': isNamedByContent ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: `"${file.etag}"`,
    vary: 'accept-encoding',
  });
  if (request.headers['if-none-match'] === `"${file.etag}"`) return reply.code(304).send();
  reply.type(file.type);
  if (file.gzipped !== undefined && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) {
    return reply.header('content-encoding', 'gzip').send(file.gzipped);
  }
  return reply.send(file.bytes);
}

const notThere = (reply: FastifyReply): FastifyReply =>
  reply.code(404).type('text/plain; charset=utf-8').send('There is nothing at this path.\n');

/** Plain text: it holds what a program has said. */
function sendAbsent(trouble: string | undefined, reply: FastifyReply): FastifyReply {
  const text =
    trouble === undefined
      ? 'The portal is being built. Reload this page in some seconds.\n' +
        'It is built when the hub is started by "npm start"; otherwise run "npm run portal" once.\n'
      : `The portal could not be built; the hub runs without it. What the build said:\n\n${trouble}\n\n` +
        'Put that right, then run "npm run portal" and reload this page.\n';
  return reply
    .code(503)
    .headers({ 'cache-control': 'no-store', 'retry-after': '3' })
    .type('text/plain; charset=utf-8')
    .send(text);
}
