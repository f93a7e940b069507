/** What is added to the trails of commands that have ended: their lifecycle writes nothing there any more. */
import { withStep } from '../../core/commands/lifecycle.ts';
import type { TrailEntry } from '../../core/commands/types.ts';
import { toTrail, trailText } from './command-rows.ts';
import { lockingRows } from './engine.ts';
import type { CommandRow, Transaction } from './schema.ts';

export type CommandPlace = Pick<CommandRow, 'device_id' | 'module_id' | 'sequence'>;

/** Puts a step at the end of the trails of these commands, as far as they are still there. */
export async function addSteps(tx: Transaction, places: readonly CommandPlace[], step: TrailEntry): Promise<void> {
  for (const { device_id, module_id, sequence } of places) {
    const query = tx
      .selectFrom('commands')
      .select('trail')
      .where('device_id', '=', device_id)
      .where('module_id', '=', module_id)
      .where('sequence', '=', sequence);
    const row = await lockingRows(tx, query).executeTakeFirst();
    if (row === undefined) continue;
    await tx
      .updateTable('commands')
      .set({ trail: trailText(withStep(toTrail(row.trail), step)) })
      .where('device_id', '=', device_id)
      .where('module_id', '=', module_id)
      .where('sequence', '=', sequence)
      .execute();
  }
}
