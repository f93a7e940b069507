import type { Command } from 'commander';
import type { Terminal } from '../terminal.ts';
import { addGatewayAuthor } from './gateway-author.ts';
import { addGatewayRun } from './gateway-run.ts';

/** Adds `gateway`: adapters for devices that speak a protocol of their own. */
export function addGatewayCommands(program: Command, terminal: Terminal): void {
  const gateway = program.command('gateway').summary('adapters for protocols of their own, beside the devices');
  addGatewayRun(gateway, terminal);
  addGatewayAuthor(gateway, terminal);
}
