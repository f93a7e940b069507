/** Routes that the operator declares in a file (`routesFile`). */
import { readFileSync } from 'node:fs';
import { limits } from '../../base/limits.ts';
import { RoutingConditions } from '../../core/query/routing-conditions.ts';
import { readDeclaration } from '../../core/routes/rules.ts';
import type { RouteDeclaration } from '../../core/routes/types.ts';

/** @throws Error whose message names the file and the place in it */
export function readRoutesFile(file: string): RouteDeclaration {
  const fail = (what: string): never => {
    throw new Error(`routesFile ${file}: ${what}`);
  };
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return fail(`it cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  if (text.length > limits.routesDeclarationCharsMax) {
    return fail(`it has ${text.length} characters, ${limits.routesDeclarationCharsMax} are allowed.`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fail(`it is no JSON${placeOf(text, error as Error)}.`);
  }
  try {
    return readDeclaration(json, (condition) => void new RoutingConditions().add(condition));
  } catch (error) {
    return fail((error as Error).message);
  }
}

/** Where the parser stopped; not its words, which quote the text, in which secrets may stand. */
function placeOf(text: string, error: Error): string {
  const at = /position (\d+)/.exec(error.message)?.[1];
  if (at === undefined) return '';
  const before = text.slice(0, Number(at)).split('\n');
  return `: line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}
