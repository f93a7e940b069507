import { Counter, Gauge, type Registry } from 'prom-client';
import { limits } from '../../base/limits.ts';
import type { ConfigurationTotals } from '../../core/configurations/carrying.ts';
import type { ConfigurationStore } from '../../core/configurations/ports.ts';

/** What configurations have done on this node since its start, and what of the fleet waits for them. */
export function measureConfigurations(
  registry: Registry,
  totals: ConfigurationTotals,
  store: Pick<ConfigurationStore, 'waiting'>,
): void {
  const registers = [registry];
  new Counter({
    name: 'mooring_configuration_looks_total',
    help: 'Devices and modules that were looked at for configurations: because they had changed, or by a walk over the fleet',
    labelNames: ['why'],
    registers,
    collect() {
      this.reset();
      this.inc({ why: 'changed' }, totals.marked);
      this.inc({ why: 'walk' }, totals.walked);
    },
  });
  new Counter({
    name: 'mooring_configuration_changes_total',
    help: 'Twins that configurations have changed, and that could not take what is set',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      this.inc({ result: 'changed' }, totals.changed);
      this.inc({ result: 'refused' }, totals.refused);
    },
  });
  const walks = new Gauge({
    name: 'mooring_configuration_walks',
    help: '1 while a walk over the fleet is under way',
    registers,
  });
  new Gauge({
    name: 'mooring_configuration_marks',
    help: `Devices and modules that have changed and are to be looked at for configurations; counted up to ${limits.configurationMarksCounted}`,
    registers,
    async collect() {
      const waiting = await store.waiting(limits.configurationMarksCounted);
      this.set(waiting.marks);
      walks.set(waiting.walks ? 1 : 0);
    },
  });
}
