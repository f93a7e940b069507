/** Which node has said a state, so that what a node left behind can be told from what another one, which runs, has said. */
export const presenceOfNodes: readonly string[] = [
  `alter table presence_states add column node text not null default ''`,
  `drop index presence_connected`,
  `create index presence_connected on presence_states (node, device_id, module_id) where connected = 1`,
  `delete from facts where name = 'presence_running' and value <> '1'`,
  `update facts set name = 'presence_running/' where name = 'presence_running'`,
];
