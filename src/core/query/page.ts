/**
 * One page of a query over a fleet that is read piece by piece. Rows come in the order of their places, and a page goes on behind the
 * last one: so that it does not matter what was created or deleted meanwhile.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { Groups } from './groups.ts';
import { type GroupPlan, type Plan, planOf } from './plan.ts';
import type { FleetPage, FleetPlace, FleetReader, Pace, PageRequest } from './ports.ts';

/** @throws HubError as `FleetStore.page`, and what `reader` and `pace` throw */
export function runPage(request: PageRequest, reader: FleetReader, pace: Pace): Promise<FleetPage> {
  const plan = planOf(request.query);
  return plan.groups === undefined
    ? pageOfRows(request, plan, reader, pace)
    : pageOfGroups(request, plan, plan.groups, reader, pace);
}

async function pageOfRows(request: PageRequest, plan: Plan, reader: FleetReader, pace: Pace): Promise<FleetPage> {
  const { after, countMax, query } = request;
  const given = after?.given ?? 0;
  const wanted = Math.min(countMax, (query.top ?? Number.POSITIVE_INFINITY) - given);
  const texts: string[] = [];
  let chars = 0;
  /** Everything up to here is in a page, or in none. */
  let place = after?.kind === 'row' ? after.place : undefined;
  const ended = (): FleetPage => ({ text: `[${texts.join(',')}]`, count: texts.length });
  const goesOn = (): FleetPage =>
    place === undefined ? ended() : { ...ended(), next: { kind: 'row', place, given: given + texts.length } };
  if (wanted <= 0) return ended();
  for (;;) {
    const { rows, end } = await reader.read(place);
    for (const row of rows) {
      if (plan.passes(row)) {
        // Only who knows of another row says that there is one: some SDKs take an empty page for an error.
        if (texts.length === wanted || chars > limits.queryPageCharsMax) {
          return given + texts.length === query.top ? ended() : goesOn();
        }
        const text = plan.text(row);
        texts.push(text);
        chars += text.length;
      }
      place = row.place;
    }
    if (end === undefined || given + texts.length === query.top) return ended();
    place = end;
    if ((await pace.next()) === 'late') return goesOn();
  }
}

async function pageOfGroups(
  { after, countMax, query }: PageRequest,
  plan: Plan,
  of: GroupPlan,
  reader: FleetReader,
  pace: Pace,
): Promise<FleetPage> {
  const groups = new Groups(of);
  let place: FleetPlace | undefined;
  for (;;) {
    const { rows, end } = await reader.read(place);
    for (const row of rows) if (plan.passes(row)) groups.add(row);
    if (end === undefined) break;
    place = end;
    if ((await pace.next()) === 'late') {
      throw new HubError(
        'ThrottlingException',
        `The query took longer than ${limits.queryPageMs} ms (queryPageMs): narrow it down by a condition.`,
      );
    }
  }
  const given = after?.given ?? 0;
  const answers = groups.answers(after?.kind === 'group' ? after.key : undefined);
  const left = (query.top ?? Number.POSITIVE_INFINITY) - given;
  const shown = answers.slice(0, Math.max(0, Math.min(countMax, left)));
  const text = `[${shown.map((answer) => answer[1]).join(',')}]`;
  const isLast = shown.length === answers.length || left <= shown.length;
  const next = { kind: 'group' as const, key: shown.at(-1)?.[0] ?? '', given: given + shown.length };
  return { text, count: shown.length, ...(!isLast && { next }) };
}
