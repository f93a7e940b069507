/** `docs/config.md` and `docs/errors.md`, written from the schema and the table that the hub itself uses. */
import { errorTable } from '../../core/errors.ts';
import { settingFacts, settingNames } from './config.ts';
import type { SettingMeta } from './setting.ts';

const topics: readonly SettingMeta['topic'][] = [
  'Data',
  'Cluster',
  'Names and reach',
  'Ports',
  'Certificates',
  'Events',
  'Routes',
  'Files',
  'Adapters',
  'Limits',
  'Monitoring',
  'Keys',
  'Log and output',
];

const alsoVariable = ({ standardVariable }: SettingMeta): string =>
  standardVariable === undefined ? '' : `, else the standard \`${standardVariable}\``;

/** Text of `docs/config.md`. */
export function configPage(): string {
  const sections = topics.map((topic) => {
    const facts = settingNames.map(settingFacts).filter((fact) => fact.topic === topic);
    const entries = facts.map((fact) =>
      [
        `### \`${fact.name}\``,
        '',
        fact.meaning,
        '',
        `- flag ${fact.flag === undefined ? '(none: it is a secret)' : `\`${fact.flag}\``}, variable \`${fact.variable}\`${alsoVariable(fact)}`,
        `- takes ${fact.form}`,
        `- default: ${fact.defaultText}`,
        '',
      ].join('\n'),
    );
    return `## ${topic}\n\n${entries.join('\n')}`;
  });
  return `# Settings

Written by \`npm run docs\` from \`src/server/config/config.ts\`; a test fails when it is stale.

Each setting is a flag of \`serve\`, a variable, and a key of the JSON file that \`--config FILE\` (or \`MOORING_CONFIG\`) names.
The flag wins over the variable, the variable over the file, the file over the default. A name that is not on this page
is refused. Secrets have no flag, because other users of a machine see the arguments of a process.

    npm start -- --mqtts-port 0 --host-name hub.factory.example
    MOORING_MQTTS_PORT=0 npm start
    echo '{"mqttsPort": 0}' > hub.json && npm start -- --config hub.json

\`mooring config check\` says whether settings can be used, \`mooring config print\` what they are and where each comes from.

${sections.join('\n')}`;
}

/** Text of `docs/errors.md`. */
export function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, entry]) =>
      `| \`${code}\` | ${entry.number} | ${entry.status} | ${entry.retry ? 'yes' : 'no'} | ${entry.meaning} |`,
  );
  return `# Errors

Written by \`npm run docs\` from \`src/core/errors.ts\`; a test fails when it is stale.

Every refusal of the hub has one of these codes. HTTP answers with the status, and with the code and its number in the body
and in \`iothub-errorcode\`; MQTT and AMQP answer in their own words, which the README of each protocol's folder lists.
"Retry" says whether the same request may succeed later without anybody changing it.

| code | number | status | retry | meaning |
|---|---|---|---|---|
${rows.join('\n')}
`;
}
