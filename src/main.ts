#!/usr/bin/env node
/** The binary: `serve`, `config` and `data` concern this machine and go to the server's room, all else to the CLI. */
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

const [command, ...rest] = process.argv.slice(2);
keepCompiled();
process.exitCode = await run();
// A hub that has stopped is over, even if a peer holds on to a connection that was to be cut off.
if (command === 'serve') process.exit();

async function run(): Promise<number> {
  if (command === 'serve') {
    const { serve } = await import('./server/serve.ts');
    return serve(rest, process.env);
  }
  if (command === 'data' && rest[0] === 'rotate-key') {
    const { runRotateKey } = await import('./server/data/rotate-key.ts');
    return runRotateKey(rest.slice(1), process.env, {
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
    });
  }
  if (command === 'data' && rest[0] === 'export') {
    const { runExport } = await import('./server/export/export-command.ts');
    return runExport(rest.slice(1), process.env, {
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
    });
  }
  if (command === 'config') {
    const { runConfig } = await import('./server/config/config-command.ts');
    const { checkAdapters } = await import('./server/adapters/check.ts');
    const output = {
      out: (text: string) => void process.stdout.write(text),
      err: (text: string) => void process.stderr.write(text),
    };
    const { checkRoutes } = await import('./server/routes/check.ts');
    return runConfig(rest, process.env, output, async (settings, env) => [
      ...(await checkRoutes(settings)),
      ...(settings.adapters.length === 0 ? [] : await checkAdapters(settings, env)),
    ]);
  }
  if (command === 'data') {
    const { runData } = await import('./server/data/data-command.ts');
    return runData(rest, process.env, {
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
    });
  }
  const { runCli } = await import('./cli/main.ts');
  return runCli(process.argv.slice(2));
}

/**
 * The published program keeps its compiled code in the user's own cache: a later start costs an eighth less CPU time. Without such a
 * folder it starts as well. A checkout does not, because each edit would leave files behind.
 */
function keepCompiled(): void {
  if (!import.meta.url.endsWith('.js')) return;
  try {
    enableCompileCache(path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'mooring'));
  } catch {
    // A user without a home.
  }
}
