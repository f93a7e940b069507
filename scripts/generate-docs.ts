/** `npm run docs`: writes the pages that come from the schema of settings, the table of errors and that of amplifications. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { configPage, errorsPage } from '../src/server/config/config-docs.ts';
import { amplificationTable, TABLE_BEGIN, TABLE_END } from '../test/hostile/amplification.ts';

const docs = path.join(path.dirname(import.meta.dirname), 'docs');
writeFileSync(path.join(docs, 'config.md'), configPage());
writeFileSync(path.join(docs, 'errors.md'), errorsPage());

const security = path.join(docs, '..', 'SECURITY.md');
const page = readFileSync(security, 'utf8');
const [before, rest] = page.split(TABLE_BEGIN);
const after = rest.slice(rest.indexOf(TABLE_END));
writeFileSync(security, `${before}${TABLE_BEGIN}\n\n${amplificationTable()}\n\n${after}`);
