/** `mooring query --watch`: what becomes of the rows of a query, until Ctrl-C, over lost connections. */
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '../../api/calls.ts';
import type { LiveEventJson } from '../../api/live-calls.ts';
import { asSentence } from '../../base/text.ts';
import type { Login } from '../login/login.ts';
import { paint, printable } from '../output/table.ts';
import { count } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';

const AGAIN_MS = 1000;
/** Characters of a row on one line. */
const ROW_MAX = 200;

export async function watchQuery(text: string, login: Login, stop: AbortSignal, terminal: Terminal): Promise<void> {
  let after: string | undefined;
  let hasBegun = false;
  while (!stop.aborted) {
    try {
      await withApi(login, ['service'], async (api) => {
        const options = { signal: stop, ...(after !== undefined && { after }) };
        for await (const { event, id } of api.live.follow(text, options)) {
          hasBegun = true;
          after = id ?? after;
          if (event !== undefined) await show(event, terminal);
        }
      });
    } catch (error) {
      if (stop.aborted) return;
      // What the hub refuses it refuses again; and a first connection that fails is no lost one.
      const isRefused = (error as { readonly cause?: unknown }).cause instanceof ApiError;
      if (isRefused || !hasBegun) throw error;
      note(terminal, `${asSentence((error as Error).message)} Trying again.`);
    }
    await pause(AGAIN_MS, undefined, { signal: stop }).catch(() => {});
  }
}

async function show(event: LiveEventJson, terminal: Terminal): Promise<void> {
  if (terminal.json) return print(terminal, JSON.stringify(event));
  switch (event.kind) {
    case 'reset':
      if (event.why === 'behind') note(terminal, 'Behind: what comes was not read fast enough. The rows come anew.');
      if (event.why === 'forgotten') note(terminal, 'Away for too long: the rows come anew.');
      return;
    case 'ready':
      return note(terminal, `${count(event.rows)} ${event.rows === 1 ? 'row' : 'rows'}. Ctrl-C ends it.`);
    case 'end':
      return note(terminal, `The hub ended it: ${event.message}`);
    case 'leave':
      return print(terminal, paint(terminal.out, 'red', `- ${nameOf(event)}`));
    default: {
      const row = printable(JSON.stringify(event.row));
      const shown = row.length > ROW_MAX ? `${row.slice(0, ROW_MAX)}…` : row;
      const isNew = event.kind === 'enter';
      return print(
        terminal,
        `${paint(terminal.out, isNew ? 'green' : 'yellow', isNew ? '+' : '~')} ${nameOf(event)}  ${shown}`,
      );
    }
  }
}

function nameOf({ deviceId, moduleId }: { readonly deviceId: string; readonly moduleId?: string | undefined }): string {
  return printable(moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`);
}
