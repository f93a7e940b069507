/** What stands in files beside the code says what the code does: the page of kinds, the dashboard, the alert rules. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { monitoringKinds } from '../../src/core/monitoring/kinds.ts';
import { brokerMetrics } from '../../src/server/storage/broker-metrics.ts';
import { startHub } from '../drivers/hub.ts';

const root = path.join(import.meta.dirname, '..', '..');
const read = (...names: readonly string[]): string => readFileSync(path.join(root, ...names), 'utf8');

test('docs/monitoring.md has every kind of event with its fields, and no other', () => {
  const [, section] = /^## Kinds\n([\s\S]*?)^`reason` of/m.exec(read('docs', 'monitoring.md')) ?? [];
  const rows = [...section.matchAll(/^\| `(\w+)` *\| (.*?) *\| (.*?) *\|$/gm)].map(([, kind, meaning, fields]) => {
    return [kind, meaning, [...fields.matchAll(/`(\w+)`/g)].map(([, field]) => field)];
  });
  const expected = Object.entries(monitoringKinds).map(([kind, { meaning, fields, summed }]) => {
    return [kind, meaning, [...fields, ...(summed ? ['count', 'first', 'last', 'since', 'summedOver'] : [])]];
  });
  assert.deepEqual(rows, expected);
});

test('the page names every check of a failed authentication', () => {
  const [, declared] =
    /export type AuthenticationCheck =([\s\S]*?);/.exec(read('src', 'core', 'identity', 'types.ts')) ?? [];
  const [, listed] =
    /^`check` of `authenticationFailed` is what failed first: ([\s\S]*?)\.\n/m.exec(read('docs', 'monitoring.md')) ??
    [];
  const words = (text: string, quote: RegExp) => [...text.matchAll(quote)].map(([, word]) => word).toSorted();
  assert.deepEqual(words(listed, /`([a-z-]+)`/g), words(declared, /'([a-z-]+)'/g));
});

test('every panel shows the nodes that are chosen, and names of nodes come from a metric that it shows', () => {
  const dashboard = JSON.parse(read('monitoring', 'dashboard.json'));
  const variable = dashboard.templating.list.find(({ name }: { name: string }) => name === 'node');
  const [, metric] = /^label_values\((\w+), instance\)$/.exec(variable.query) ?? [];
  const expressions: string[] = dashboard.panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
    targets.map(({ expr }) => expr),
  );
  assert.ok(expressions.some((expression) => expression.includes(`${metric}{`)));
  for (const expression of expressions) {
    const chosen = expression.match(/\bmooring_[a-z_]+\{instance=~"\$node"[,}]/g) ?? [];
    assert.equal(chosen.length, metricNames(expression).length, expression);
    assert.ok(chosen.length > 0, expression);
  }
});

const metricNames = (expression: string): readonly string[] => expression.match(/\bmooring_[a-z_]+/g) ?? [];

test('every metric of the dashboard and the alert rules exists', async () => {
  const dashboard = JSON.parse(read('monitoring', 'dashboard.json'));
  const targets = dashboard.panels.flatMap((panel: { targets: { expr: string }[] }) => panel.targets);
  // The file keeps to one line per entry, in this order.
  const rules = read('monitoring', 'alerts.yaml')
    .split(/^ {6}- alert: /m)
    .slice(1);
  const expressions: string[] = targets.map((each: { expr: string }) => each.expr);
  for (const rule of rules) {
    const form =
      /^Mooring\w+\n {8}expr: (.+)\n {8}for: \d+m\n {8}labels:\n {10}severity: (?:warning|critical)\n {8}annotations:\n {10}summary: .+\n {10}description: .+\n$/;
    const [, expression] = form.exec(rule) ?? [];
    assert.ok(expression !== undefined, rule);
    expressions.push(expression);
  }
  const names = new Set(expressions.flatMap(metricNames));
  assert.ok(rules.length >= 5 && names.size >= 15, `${rules.length} rules, ${names.size} metrics`);
  // Of its own disk, whose metrics no hub on Kafka has.
  await using hub = await startHub({ args: ['--storage', 'embedded'] });
  const page = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  // Those of a hub whose events are at brokers are not on this one's page.
  const ofBrokers = brokerMetrics([], 1, () => {}) as readonly { readonly name?: string }[];
  const known = new Set([
    ...[...page.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name]) => name),
    ...ofBrokers.map(({ name }) => name),
  ]);
  const missing = [...names].filter((name) => !known.has(name.replace(/_(bucket|sum|count)$/, '')));
  assert.deepEqual(missing, []);
});
