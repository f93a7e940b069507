import type { Command } from 'commander';
import type { ServerAuthorityJson } from '../../api/authorities.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { facts, printable } from '../output/table.ts';
import { count } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

interface RotateOptions extends CommonOptions {
  readonly switch?: boolean;
  readonly force?: boolean;
  readonly cancel?: boolean;
}

/** Ids of devices that a report names; the rest is counted. */
const IDS_SHOWN = 20;

export function addRotateCommand(ca: Command, terminal: Terminal): void {
  const rotate = withLogin(ca.command('rotate'))
    .description(
      'Replaces the CA behind the hub’s certificate in two steps, without dropping a connection. The first makes a new ' +
        'CA and offers both in ca.pem: give that file to your devices. Asked again, it shows which devices have shown no ' +
        'activity since. The second, --switch, signs the hub’s certificate by the new CA.',
    )
    .option('--switch', 'use the new CA now; refused while devices have not been seen since it was offered')
    .option('--force', 'with --switch: also then')
    .option('--cancel', 'take the offered CA back')
    .action((options: RotateOptions) => rotateCa(loginFrom(options, terminal), options, terminal));
  examples(rotate, ['mooring ca rotate', 'mooring ca rotate --switch', 'mooring ca rotate --cancel']);
}

async function rotateCa(login: Login, options: RotateOptions, terminal: Terminal): Promise<void> {
  const wish = options.switch === true ? 'switch' : options.cancel === true ? 'cancel' : 'offer';
  if (options.force === true && wish !== 'switch') throw new Failure('--force belongs to --switch.', { usage: true });
  if (options.switch === true && options.cancel === true) {
    throw new Failure('Either --switch or --cancel, not both.', { usage: true });
  }
  await withApi(login, [], async (api) => {
    const { serverAuthority } = api;
    const status = await (wish === 'switch'
      ? serverAuthority.switchOver({ force: options.force === true })
      : wish === 'cancel'
        ? serverAuthority.withdraw()
        : serverAuthority.offer());
    if (terminal.json) return print(terminal, JSON.stringify(status, undefined, 2));
    return report(status, wish, login, terminal);
  });
}

async function report(
  { current, offered, unseen }: ServerAuthorityJson,
  wish: 'switch' | 'cancel' | 'offer',
  login: Login,
  terminal: Terminal,
): Promise<void> {
  await print(
    terminal,
    facts(terminal.out, [
      ['CA in use', `${printable(current.subject)} (${current.sha256})`],
      ['CA offered', offered === null ? undefined : `${printable(offered.subject)} (${offered.sha256})`],
      ['offered since', offered?.since],
      ['not seen since', unseen === null ? undefined : `${count(unseen.unseen)} of ${count(unseen.devices)} devices`],
    ]),
  );
  for (const id of unseen?.deviceIds.slice(0, IDS_SHOWN) ?? []) await print(terminal, `  ${printable(id)}`);
  if (unseen !== null && unseen.unseen > IDS_SHOWN)
    await print(terminal, `  and ${unseen.unseen - IDS_SHOWN} more (--json)`);
  if (wish === 'offer') {
    note(
      terminal,
      `\nBoth CAs stand in ${login.ca?.file ?? 'ca.pem'}: give it to your devices, then mooring ca rotate --switch.\n` +
        'A device that was seen may still lack the file; one that was not seen surely has not shown that it has it.',
    );
  }
}
