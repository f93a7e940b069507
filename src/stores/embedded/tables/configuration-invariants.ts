/** What must hold between rows of configurations, and how it is set right (`check.ts`, `repair.ts`). */

const counted = `(select count(*) from configured d, json_each(d.kept, '$.counted') k
  where json_valid(d.kept) and k.value = configuration_counts.counter)`;
const unreadable = `not json_valid(labels) or not json_valid(content) or not json_valid(metrics) or not json_valid(counters)`;
const astray = `not json_valid(states) or not json_valid(kept) or not exists (select 1 from identities i
  where i.device_id = configured.device_id and i.module_id = configured.module_id)`;

export const configurationInvariants = [
  {
    table: 'configurations',
    needs: [],
    what: 'configurations that cannot be read',
    count: `select count(*) as n from configurations where ${unreadable}`,
  },
  {
    table: 'configured',
    needs: ['identities'],
    what: 'states of configurations that cannot be read, or of no identity',
    count: `select count(*) as n from configured where ${astray}`,
  },
  {
    table: 'configuration_counts',
    needs: ['configured'],
    what: 'counts of configurations that are not those of their devices',
    count: `select count(*) as n from configuration_counts where count <> ${counted}`,
  },
  ...['configuration_facts', 'configuration_turn'].map((table) => ({
    table,
    needs: [],
    what: 'the one row is not there',
    count: `select 1 - count(*) as n from ${table} where id = 1`,
  })),
] as const;

/** Tables whose rows are there from the beginning, and stand for those of a fresh one. */
export const configurationSingles: ReadonlySet<string> = new Set(['configuration_facts', 'configuration_turn']);

/** Behind the salvage of what can be read: the whole fleet is looked at again, so that whatever was lost of it comes back. */
export const configurationRepairs: readonly (readonly [what: string, sql: string])[] = [
  ['configurations that cannot be read were removed', `delete from configurations where ${unreadable}`],
  ['states of configurations without their identity were removed', `delete from configured where ${astray}`],
  [
    'counts of configurations were begun again',
    `insert or ignore into configuration_counts select j.value, 0 from configurations c, json_tree(c.counters) j
      where j.type = 'integer'`,
  ],
  [
    'counts of configurations were counted again',
    `update configuration_counts set count = ${counted} where count <> ${counted}`,
  ],
  [
    'walk over the fleet for configurations begins',
    // Which collections matter is made out again with the next change of a configuration: until then all do.
    `update configuration_facts set revision = revision + 1, is_any = 1, reported = 3,
      next_number = 1 + max(next_number, (select coalesce(max(serial), 0) from configurations),
        (select coalesce(max(counter), 0) from configuration_counts)),
      goal_lap = (select lap from configuration_turn where id = 1) + 1, goal_device = '', goal_module = ''
      where exists (select 1 from configurations) or exists (select 1 from configured)`,
  ],
  [
    'configurations are not known to be everywhere',
    `update configurations set goal_lap = (select goal_lap from configuration_facts where id = 1), goal_device = '', goal_module = ''`,
  ],
];
