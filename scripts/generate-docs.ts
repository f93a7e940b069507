/** `npm run docs`: writes the pages that come from the schema of settings and the table of errors. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { configPage, errorsPage } from '../src/server/config-docs.ts';

const docs = path.join(path.dirname(import.meta.dirname), 'docs');
writeFileSync(path.join(docs, 'config.md'), configPage());
writeFileSync(path.join(docs, 'errors.md'), errorsPage());
