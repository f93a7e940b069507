/** `mooring serve`: from arguments to a running hub, and from the stop signal to exit code 0. */
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { compose } from './compose.ts';
import { type SettingFacts, settingFacts, settingNames } from './config/config.ts';
import { type LoadedSettings, loadSettings, SettingsError } from './config/config-sources.ts';
import { fullDiskAdvice } from './data/disk-reserve.ts';
import { greeting } from './greeting.ts';
import { endOnUnhandledErrors, isOnTerminal, Shutdown, stopSignal } from './lifecycle.ts';
import { openLog } from './observe/log.ts';

/** @returns the exit code: 0 after a stop signal, 1 when it could not start, 2 when the settings are refused */
export async function serve(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(usage());
    return 0;
  }
  let loaded: LoadedSettings;
  try {
    loaded = loadSettings(args, env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`The settings cannot be used:\n${error.problems.map((problem) => `  ${problem}\n`).join('')}`);
    process.stderr.write('All settings: mooring serve --help\n');
    return 2;
  }
  return run(loaded);
}

async function run(loaded: LoadedSettings): Promise<number> {
  const { settings } = loaded;
  // What the hub writes is for its user alone, whatever the shell allows.
  process.umask(0o077);
  const log = openLog(settings);
  endOnUnhandledErrors(log);
  const stopped = stopSignal(log);
  const shutdown = new Shutdown(log);
  try {
    const hub = await compose(loaded, { clock: systemClock, random: systemRandom, log, shutdown });
    if (!isOnTerminal())
      process.on('SIGHUP', () => {
        hub
          .reloadCertificate()
          .catch((error: unknown) => log.error({ error }, 'the certificate could not be reloaded'));
      });
    process.stdout.write(greeting({ ...hub.greeting, showConnectionStrings: settings.showConnectionStrings }));
    const seconds = (performance.now() / 1000).toFixed(2);
    log.info({ hub: hub.greeting.endpoints.hubName, ports: hub.greeting.endpoints.ports, seconds }, 'the hub is ready');
    process.stdout.write(`Started in ${seconds} s\nready\n`);
  } catch (error) {
    await shutdown.run();
    log.debug({ error }, 'the start failed');
    log.flush();
    process.stderr.write(
      `The hub cannot start. ${fullDiskAdvice(error, settings.dataDir) ?? (error as Error).message}\n`,
    );
    return 1;
  }
  await stopped;
  await shutdown.run();
  log.info({}, 'the hub has stopped');
  log.flush();
  return 0;
}

function usage(): string {
  const line = (fact: SettingFacts): string => `  ${fact.flag} …\n      ${fact.form}; default: ${fact.defaultText}`;
  const facts = settingNames.map(settingFacts);
  const secrets = facts.filter((fact) => fact.secret).map((fact) => fact.variable);
  return `Usage: mooring serve [settings]

${facts
  .filter((fact) => !fact.secret)
  .map(line)
  .join('\n')}
  --config …
      a JSON file of settings

Each is a variable, too (MOORING_MQTTS_PORT). Secrets are never flags: ${secrets.join(', ')}.
docs/config.md explains them all.
`;
}
