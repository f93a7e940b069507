/** Clocks of nodes that a test sets wrong, each by so much; `wrong-clock.ts` is what a node loads. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const preload = pathToFileURL(path.join(import.meta.dirname, 'wrong-clock.ts')).href;

export class NodeClocks implements Disposable {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'mooring-clocks-'));

  /** The clock of a node is wrong by so many milliseconds from now on. */
  set(node: string, wrongMs: number): void {
    const file = this.#fileOf(node);
    // In one step: the node may look at any moment.
    writeFileSync(`${file}.next`, String(wrongMs));
    renameSync(`${file}.next`, file);
  }

  /** Variables of a node's process; its clock must have been set before it starts. */
  env(node: string): Readonly<Record<string, string>> {
    return { NODE_OPTIONS: `--import=${preload}`, TEST_CLOCK_FILE: this.#fileOf(node) };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #fileOf(node: string): string {
    return path.join(this.#folder, node);
  }
}
