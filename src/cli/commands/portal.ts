/** `portal`: a one-time link that opens the hub in a browser. It proves by the data folder that the caller may have one. */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { endpointsSchema } from '../../api/endpoints.ts';
import { limits } from '../../base/limits.ts';
import { Failure, networkFailure } from '../failure.ts';
import { print, type Terminal } from '../terminal.ts';
import { examples } from './options.ts';

const answerSchema = z.object({ code: z.string().regex(/^[\w-]{1,128}$/), expiresAt: z.number() });
const ANSWER_BYTES_MAX = 4096;

interface PortalOptions {
  readonly dataDir?: string;
  readonly json?: boolean;
}

export function addPortalCommand(program: Command, terminal: Terminal): void {
  const portal = program
    .command('portal')
    .summary('a link that opens the hub in a browser')
    .description(
      'Prints a link that opens a session of the portal, once, within ten minutes, with every right. It works where the ' +
        'data folder of the running hub can be read. Elsewhere open the portal and sign in with a connection string.',
    )
    .option('--data-dir <dir>', 'data folder of the hub (default: ./mooring-data)')
    .option('--json', 'results as JSON')
    .action((options: PortalOptions) => showLink(options, terminal));
  examples(portal, ['mooring portal', 'mooring portal --data-dir /var/lib/mooring']);
}

async function showLink({ dataDir }: PortalOptions, terminal: Terminal): Promise<void> {
  const folder = path.resolve(terminal.cwd, dataDir ?? terminal.env.MOORING_DATA_DIR ?? 'mooring-data');
  const { portalUrl, caFile } = endpointsOf(folder);
  if (portalUrl === null || portalUrl === undefined) {
    throw new Failure('This hub serves no portal.', { hint: 'Start it with an admin port and the setting portal on.' });
  }
  const secret = readText(path.join(folder, 'portal.secret'), 'the secret of its portal').trim();
  const { code, expiresAt } = await newCode(portalUrl, secret, path.resolve(folder, caFile));
  const url = `${portalUrl}#code=${code}`;
  if (terminal.json) await print(terminal, JSON.stringify({ url, expiresAt: new Date(expiresAt).toISOString() }));
  else await print(terminal, `Open this link once, within ten minutes; it gives every right:\n  ${url}`);
}

function endpointsOf(folder: string) {
  const file = path.join(folder, 'endpoints.json');
  let value: unknown;
  try {
    value = JSON.parse(readText(file, 'its endpoints'));
  } catch (error) {
    if (error instanceof Failure) throw error;
    value = undefined;
  }
  const parsed = endpointsSchema.safeParse(value);
  if (!parsed.success) throw new Failure(`${file} is not an endpoints file of this version.`);
  return parsed.data;
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const hint =
      code === 'ENOENT'
        ? 'Is the hub running? Name its data folder with --data-dir DIR.'
        : 'Only the user who runs the hub may read it. Sign in with a connection string instead.';
    throw new Failure(`A running hub keeps ${what} in ${file}, which cannot be read (${code}).`, { code, hint });
  }
}

async function newCode(portalUrl: string, secret: string, caFile: string): Promise<z.output<typeof answerSchema>> {
  const url = new URL('/portal/codes', portalUrl);
  let answer: { readonly status: number; readonly text: string };
  try {
    answer = url.protocol === 'https:' ? await postTls(url, secret, caFile) : await post(url, secret);
  } catch (error) {
    throw networkFailure(error, url.host);
  }
  let value: unknown;
  try {
    value = JSON.parse(answer.text);
  } catch {
    value = undefined;
  }
  const parsed = answerSchema.safeParse(value);
  if (answer.status === 201 && parsed.success) return parsed.data;
  throw new Failure(`What answers at ${url.host} gives no link (status ${answer.status}).`, {
    hint: 'Is it the hub of this data folder? It writes endpoints.json and portal.secret there when it starts.',
  });
}

async function post(url: URL, secret: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}` },
    redirect: 'error',
    signal: AbortSignal.timeout(limits.cliHealthMs),
  });
  return { status: answer.status, text: (await answer.text()).slice(0, ANSWER_BYTES_MAX) };
}

/** With the hub's own CA, which `fetch` cannot be given. */
function postTls(url: URL, secret: string, caFile: string): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const request = https.request(
    url,
    {
      method: 'POST',
      ca: readText(caFile, 'its CA'),
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(limits.cliHealthMs),
      agent: false,
    },
    (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        if (text.length < ANSWER_BYTES_MAX) text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    },
  );
  request.on('error', reject).end();
  return promise;
}
