/**
 * Makes docs/compatibility.md of what a run of the tests has shown. The page holds no times and no dates, so that the same
 * results give the same page: `--check` fails when the page says anything else than the run.
 *
 *     node sdk-tests/compatibility.ts RESULTS          # writes the page
 *     node sdk-tests/compatibility.ts RESULTS --check  # compares it
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { backEndSdks } from './support/back-ends.ts';
import { deviceSdks } from './support/device-sdks.ts';
import { readerSdks } from './support/readers.ts';
import type { Result } from './support/shows.ts';
import { twinSdks } from './support/twins.ts';

const page = path.join(import.meta.dirname, '..', 'docs', 'compatibility.md');

/** Why a transport has no test of an operation: a key of `reasons`. */
function reasonOf(sdk: string, transport: string, operation: string): string {
  const isDevice = deviceSdks.some(({ name }) => name === sdk);
  if (isDevice && /^mqtt/i.test(transport) && /reject|abandon/.test(operation)) return 'mqtt';
  if (/^many|^commands while|^uploads/.test(operation)) return 'one';
  if (sdk.startsWith('@azure/event-hubs') || readerSdks.some(({ name }) => name === sdk)) return 'one';
  return 'other';
}

const reasons: Readonly<Record<string, string>> = {
  mqtt: 'MQTT 3.1.1 has PUBACK and no other answer',
  one: 'not tried over this transport: shown over another one',
  other: 'the SDK does this over another transport only',
};

/** Packages by the name that the tests give them, an older one with the version after it: with the version that is pinned. */
function versionOf(sdk: string): string {
  const words = sdk.split(' ');
  const [name, older] = words.length === 3 ? words : [words[0], undefined];
  const read = (file: string): string => readFileSync(path.join(import.meta.dirname, file), 'utf8');
  const registry = words[words.length - 1];
  if (registry === '(npm)') {
    const file = older === undefined ? 'package.json' : `older/event-hubs-${older}/package.json`;
    return JSON.parse(read(file)).dependencies[name];
  }
  const [file, pattern] = {
    '(PyPI)': [`requirements${environmentOf(name, older)}.txt`, `^${name}==(.+)$`],
    '(Maven)': ['java/pom.xml', `<artifactId>${name}</artifactId>\\s*<version>(.+)<`],
    '(Go)': ['go/go.mod', `/${name} (v\\S+)$`],
    '(crates.io)': ['rust/Cargo.toml', `^${name} = .*"=([^"]+)"`],
  }[registry] as [string, string];
  const found = new RegExp(pattern, 'm').exec(read(file));
  if (found === null) throw new Error(`${sdk} is pinned nowhere`);
  return found[1];
}

/** Which of the environments of Python has a package: the end of its file's name. */
function environmentOf(name: string, older: string | undefined): string {
  if (older !== undefined) return `-${older}`;
  return name === 'python-qpid-proton' ? '-proton' : '';
}

/** @throws Error when something has failed or was skipped: then there is nothing to say for sure */
export function compatibilityPage(results: readonly Result[]): string {
  const bad = results.filter(({ outcome }) => outcome !== 'run');
  if (results.length === 0 || bad.length > 0) {
    const list = bad.map((one) => `${one.sdk} over ${one.transport}: ${one.operation}: ${one.outcome}`);
    throw new Error(`No page can be made of this run (${results.length} results):\n${list.join('\n')}`);
  }
  const used = new Set<string>();
  const order = [...deviceSdks, ...backEndSdks, ...twinSdks, ...readerSdks].map(({ name }) => name);
  const sdks = [...new Set(results.map(({ sdk }) => sdk))].sort(
    (a, b) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99) || a.localeCompare(b),
  );
  const sections = sdks.map((sdk) =>
    section(
      sdk,
      results.filter((one) => one.sdk === sdk),
      used,
    ),
  );
  const notes = [...used].sort().map((key) => `- *${key}*: ${reasons[key]}`);
  return [
    '# What the stock SDKs do with this hub',
    '',
    'Written by `npm run sdk-tests` from the results of its tests; the CI run fails when this page says anything else than',
    'they do. `run` = the unmodified SDK did it against a running hub, in the test file that the row names (under',
    '`sdk-tests/`). Everything else is a hole, with its reason below.',
    '',
    ...sections.flatMap((lines) => [...lines, '']),
    '## Holes',
    '',
    ...notes,
    '- Jobs: what the service leaves open is decided in [jobs.md](jobs.md). A record of a device whose method may or may not have been carried out has the',
    "  status `unknown`, which the service does not have for records: .NET's typed reader of device jobs fails on a page that holds one (C#'s",
    "  enumeration lacks it, Java's has it); a query with `status != 'unknown'`, or one that selects single members, is read.",
    '- Configurations are evaluated with every change, not every five minutes. A target condition does not ask for desired properties, and neither it nor a',
    '  metric asks for connection states. Metrics count the rows of a query without groups. Modules of a deployment are not deleted with it.',
    "- Import and export of the registry: the form of `importErrors.log` is this hub's own, because the service's is written down nowhere (a line of JSON for each",
    '  line that was not taken, with its number). Reported properties are taken where no device has reported here; what is there just so stays',
    '  untouched, ETag and all. A hub has no identity at a storage account (`identityBased`), and calls the hosts of `registryBlobHosts` only.',
    '- MQTT clients of the distribution have no version that is pinned here, and so no table: mosquitto_pub and mosquitto_sub, mosquitto',
    '  as a bridge, the Paho C library (`mqtt-clients.test.ts`).',
    '- No test runs the .NET and C SDKs.',
    '',
  ].join('\n');
}

function section(sdk: string, results: readonly Result[], used: Set<string>): readonly string[] {
  const known = [
    ...[...deviceSdks, ...readerSdks].map((one) => ({
      name: one.name,
      transports: one.transports.map(({ name }) => name as string),
    })),
    ...backEndSdks,
  ];
  const listed = known.find(({ name }) => name === sdk)?.transports ?? [];
  const transports = [...new Set([...listed, ...results.map(({ transport }) => transport)])];
  const operations = [...new Set(results.map(({ operation }) => operation))];
  const rows = operations.map((operation) => {
    const of = results.filter((one) => one.operation === operation);
    const cells = transports.map((transport) => {
      if (of.some((one) => one.transport === transport)) return 'run';
      const reason = reasonOf(sdk, transport, operation);
      used.add(reason);
      return `*${reason}*`;
    });
    const files = [...new Set(of.map(({ file }) => `\`${file}\``))].sort();
    return `| ${[operation, ...cells, files.join(', ')].join(' | ')} |`;
  });
  return [
    `## ${sdk} ${versionOf(sdk)}`,
    '',
    `| operation | ${transports.join(' | ')} | test |`,
    `|---|${transports.map(() => '---|').join('')}---|`,
    ...rows,
  ];
}

/** Results in the order in which the page shows them, each once: tests that run side by side end in any order. */
export function readResults(file: string): readonly Result[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  const results = [...new Set(lines)].map((line) => JSON.parse(line) as Result);
  const key = ({ file: test, operation, sdk, transport }: Result): string =>
    [test, operation, sdk, transport].join('\n');
  return results.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

if (import.meta.main) {
  const [file, flag] = process.argv.slice(2);
  const text = compatibilityPage(readResults(file));
  if (flag !== '--check') writeFileSync(page, text);
  else if (text !== readFileSync(page, 'utf8')) {
    process.stderr.write('docs/compatibility.md is not what this run has shown: rewrite it with npm run sdk-tests\n');
    process.exit(1);
  }
}
