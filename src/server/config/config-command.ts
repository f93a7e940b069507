/** `mooring config check` and `mooring config print`: what the settings are, and whether they can be used. */
import { parseArgs } from 'node:util';
import { settingFacts, settingNames, shown } from './config.ts';
import { loadSettings, SettingsError } from './config-sources.ts';

const usage = `Usage: mooring config check|print [--json] [settings as for serve]
  check   says whether the settings can be used
  print   shows each setting and where it comes from; secrets are never shown
`;

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** What is wrong with what settings hold or name: adapters, the file of routes. */
export type CheckParts = (settings: Loaded['settings'], env: Env) => Promise<readonly string[]>;

type Env = Readonly<Record<string, string | undefined>>;

/** @returns the exit code: 0 fine, 1 settings refused, 2 wrong use */
export function runConfig(
  argv: readonly string[],
  env: Env,
  { out, err }: Output,
  checkParts: CheckParts = async () => [],
): number | Promise<number> {
  const [action, ...rest] = argv;
  const { json, help, args } = ownFlags(rest);
  if (help || action === '--help' || action === '-h') {
    out(usage);
    return 0;
  }
  if (action !== 'check' && action !== 'print') {
    err(usage);
    return 2;
  }
  const refuse = (problems: readonly string[]): number => {
    if (json) out(`${JSON.stringify({ ok: false, problems })}\n`);
    else err(`${problems.join('\n')}\n`);
    return 1;
  };
  try {
    const loaded = loadSettings(args, env);
    if (action === 'check') {
      const checked = (problems: readonly string[]): number => {
        if (problems.length > 0) return refuse(problems);
        out(json ? '{"ok":true}\n' : 'The settings can be used.\n');
        return 0;
      };
      // Modules of adapters are loaded for it, and files are read.
      const { adapters, routesFile } = loaded.settings;
      const isPlain = adapters.length === 0 && routesFile === undefined;
      return isPlain ? checked([]) : checkParts(loaded.settings, env).then(checked);
    }
    out(json ? printJson(loaded) : printText(loaded));
    return 0;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return refuse(error.problems);
  }
}

/** What this command takes itself; `args` are settings, which `loadSettings` reads. */
function ownFlags(rest: readonly string[]): {
  readonly json: boolean;
  readonly help: boolean;
  readonly args: string[];
} {
  const options = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
  const { tokens } = parseArgs({ args: [...rest], options, strict: false, allowPositionals: true, tokens: true });
  const own = new Map(
    tokens.flatMap((token) => (token.kind === 'option' && token.name in options ? [[token.index, token.name]] : [])),
  );
  const names = new Set(own.values());
  return { json: names.has('json'), help: names.has('help'), args: rest.filter((_, at) => !own.has(at)) };
}

type Loaded = ReturnType<typeof loadSettings>;

function printText({ settings, sources }: Loaded): string {
  const width = Math.max(...settingNames.map((name) => name.length));
  const lines = settingNames.map((name) => {
    const facts = settingFacts(name);
    const value = settings[name];
    const text =
      value === undefined ? `(${facts.otherwise ?? 'none'})` : facts.secret ? '(given, not shown)' : shown(value);
    return `${name.padEnd(width)}  ${sources[name].padEnd(8)}  ${text}`;
  });
  return `${lines.join('\n')}\n`;
}

function printJson({ settings, sources }: Loaded): string {
  const entries = settingNames.map((name) => {
    const given = settings[name] !== undefined;
    const value = settingFacts(name).secret ? (given ? '(not shown)' : null) : (settings[name] ?? null);
    return [name, { value, source: sources[name] }];
  });
  return `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`;
}
