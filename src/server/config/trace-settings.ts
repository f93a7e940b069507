/** Settings of the traces that go to a collector of OpenTelemetry; part of the one schema (`config.ts`). */
import { z } from 'zod';
import { text, whole } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

/** No user or password in it: they would be logged with it. */
const endpointPattern = /^https?:\/\/[A-Za-z0-9.\-_[\]:]+(\/[A-Za-z0-9.\-_~/%]*)?$/;
const headerPattern =
  /^\s*([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100})\s*=([ \t]*[\x21-\x2b\x2d-\x7e][\x21-\x2b\x2d-\x7e \t]*)$/;
const HEADERS_MAX = 16;

export function traceSettings(documented: Documented) {
  return {
    otlpEndpoint: documented(text(endpointPattern).refine(URL.canParse).optional(), {
      topic: 'Monitoring',
      meaning:
        'Collector of OpenTelemetry that gets traces, by OTLP over HTTP (its port is mostly 4318); `/v1/traces` is added. ' +
        'Telemetry is traced as `traceDevices` and `traceSample` say, commands as `otlpCommandSample`.',
      otherwise: 'none: nothing is exported',
      form: 'a URL like `http://collector:4318`, without user, password or query',
      standardVariable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    }),
    otlpHeaders: documented(z.string().max(8192).refine(isHeaders).optional(), {
      topic: 'Monitoring',
      meaning: 'Headers of each request to the collector, for those that ask for a token.',
      otherwise: 'none',
      form: `up to ${HEADERS_MAX} of name=value, separated by commas, values percent-encoded`,
      secret: true,
      standardVariable: 'OTEL_EXPORTER_OTLP_HEADERS',
    }),
    otlpCommandSample: documented(whole(0, 1_000_000_000).default(1), {
      topic: 'Monitoring',
      meaning:
        'With `otlpEndpoint`, one command of so many becomes a trace. 0 = none, 1 = each. A traced command costs one reading ' +
        'of its trail when it has ended, and one for its receipt.',
      form: 'a whole number from 0 to 1000000000',
    }),
  };
}

/** The headers that `otlpHeaders` names, as OpenTelemetry writes them (W3C Baggage without properties). */
export function otlpHeaders(value: string): Readonly<Record<string, string>> {
  const pairs = value.split(',').filter((part) => part.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name = '', encoded = ''] = headerPattern.exec(pair) ?? [];
      return [name.toLowerCase(), decodeURIComponent(encoded.trim())];
    }),
  );
}

function isHeaders(value: string): boolean {
  const pairs = value.split(',').filter((part) => part.trim() !== '');
  if (pairs.length > HEADERS_MAX || !pairs.every((pair) => headerPattern.test(pair))) return false;
  try {
    // What HTTP takes as a value; the rest would break the request, or forge another header.
    return Object.values(otlpHeaders(value)).every((text) => /^[\t\x20-\x7e]*$/.test(text));
  } catch {
    return false;
  }
}
