/** The checks of a hub. What fails makes it not ready: it cannot do what its clients are told it does. */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { HubError } from '../../../core/errors.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { Nodes } from '../../nodes/nodes.ts';
import type { ListenerThreads } from '../../threads/threads.ts';
import type { ServerTls } from '../../tls/tls-source.ts';
import type { OpenTraces } from '../traces/traces.ts';
import { type CheckResult, fine, type HealthCheck } from './health.ts';

const DAY_MS = 86_400_000;

/** The tables, as their check sees them. */
export interface CheckedTables {
  /** Not ok: the hub must be stopped. */
  health(): { readonly ok: true } | { readonly ok: false; readonly reason: string; readonly remedy: string };
  /** Writes and waits until it is durable. @throws HubError whose `reason` says why it could not */
  probe(): Promise<void>;
}

/**
 * Whether what is not an event (identities, commands, sessions) can be read and written: tried with a write.
 * @param unseen why it is not known whether the tables are damaged; undefined = it is
 */
export function tablesCheck(tables: CheckedTables, unseen: () => string | undefined): HealthCheck {
  return {
    name: 'tables',
    keptMs: limits.healthProbeKeptMs,
    async look() {
      const before = tables.health();
      // It has ended, or is damaged: nothing is gained by another try.
      if (!before.ok) return { status: 'fail', reason: before.reason, remedy: before.remedy };
      try {
        await tables.probe();
        const reason = unseen();
        if (reason === undefined) return fine;
        return {
          status: 'warn',
          reason: `the tables could not be looked through: ${reason}`,
          remedy:
            'It is tried again by itself (tablesCheckSeconds). A stopped hub is looked through by mooring data check.',
        };
      } catch (error) {
        const reason = error instanceof HubError ? (error.reason ?? error.message) : String(error);
        if (error instanceof HubError && error.limit !== undefined) {
          return {
            status: 'warn',
            reason,
            remedy: 'The hub has more to do than its disk takes; see what its clients do.',
          };
        }
        const after = tables.health();
        if (!after.ok) return { status: 'fail', reason: after.reason, remedy: after.remedy };
        return { status: 'fail', reason: `the tables cannot be written: ${reason}`, remedy: diskRemedy };
      }
    },
  };
}

const diskRemedy =
  'Free room on the disk of the data folder, and see that it can be written; the hub then goes on by itself.';

/** Telemetry: what cannot be stored is not acknowledged. */
export function eventsCheck(log: Pick<EventLog, 'health'>): HealthCheck {
  return { name: 'events', look: () => logResult(log, 'fail') };
}

/** The monitoring stream: devices are served without it, and what is missing in it is told in it afterwards. */
export function monitoringCheck(log: Pick<EventLog, 'health'>): HealthCheck {
  return { name: 'monitoring', look: () => logResult(log, 'warn') };
}

function logResult(log: Pick<EventLog, 'health'>, status: 'warn' | 'fail'): CheckResult {
  const health = log.health();
  return health.ok ? fine : { status, reason: health.reason, remedy: diskRemedy };
}

/** None: nobody can connect by MQTT or AMQP. Some: the others serve meanwhile. */
export function threadsCheck(threads: Pick<ListenerThreads, 'serving' | 'size'>): HealthCheck {
  return {
    name: 'threads',
    look() {
      const { serving, size } = threads;
      if (serving === size) return fine;
      return {
        status: serving === 0 ? 'fail' : 'warn',
        reason: `${serving} of ${size} listener threads run`,
        remedy: 'They are started again. Where it happens again and again, the log says why; report it.',
      };
    },
  };
}

/** The certificate that the doors show, and the authority behind it where that is ours. */
export function certificateCheck(tls: ServerTls, clock: Clock): HealthCheck {
  return {
    name: 'certificate',
    look() {
      const now = clock.now();
      const left = expiryOf(tls) - now;
      const problem = tls.problem();
      const ownRemedy =
        tls.authority === undefined
          ? 'Put a new one into tlsCertFile and tlsKeyFile; it is read by itself, connections stay.'
          : 'The hub renews it by itself when the folder tls of its data folder can be written and ca-key.pem is there.';
      if (left <= 0) {
        return { status: 'fail', reason: 'the certificate has ended: clients refuse the hub', remedy: ownRemedy };
      }
      if (problem !== undefined) {
        return {
          status: 'warn',
          reason: `the certificate could not be read or renewed: ${problem}`,
          remedy: ownRemedy,
        };
      }
      if (left < limits.certificateWarnMs) {
        return { status: 'warn', reason: `the certificate ends in ${daysOf(left)}`, remedy: ownRemedy };
      }
      const chainProblem = tls.chainProblem();
      if (chainProblem !== undefined) {
        return { status: 'warn', reason: `clients may refuse the certificate: ${chainProblem}`, remedy: chainRemedy };
      }
      const authorityEnd = authorityExpiryOf(tls);
      if (typeof authorityEnd === 'string') {
        return { status: 'warn', reason: `the hub's CA cannot be read: ${authorityEnd}`, remedy: authorityRemedy };
      }
      const authorityLeft = authorityEnd - now;
      if (authorityLeft >= limits.authorityWarnMs) return fine;
      return {
        status: 'warn',
        reason: `the hub's CA, which devices trust, ends in ${daysOf(authorityLeft)}`,
        remedy: 'Replace it in two steps: mooring ca rotate.',
      };
    },
  };
}

/** Of the certificate that ends first; UTC milliseconds. */
export const expiryOf = (tls: Pick<ServerTls, 'current'>): number =>
  Math.min(...tls.current().cert.map((cert) => Date.parse(new X509Certificate(cert).validTo)));

const chainRemedy = 'Complete the chain in the certificate file; it is read by itself, connections stay.';

const authorityRemedy =
  'Put ca.pem back into the folder tls of the data folder: the next certificate cannot be made without it.';

/** The same of the hub's own CA, which a file holds, or why that cannot be read. Never, where there is none. */
function authorityExpiryOf({ authority }: ServerTls): number | string {
  try {
    return authority?.status().current.validTo ?? Number.POSITIVE_INFINITY;
  } catch (error) {
    return (error as Error).message;
  }
}

const daysOf = (ms: number): string => (ms < DAY_MS ? 'less than a day' : `${Math.floor(ms / DAY_MS)} days`);

/** The collector of traces: only traces are lost. */
export function tracesCheck(traces: Pick<OpenTraces, 'health'>): HealthCheck {
  return {
    name: 'traces',
    isQuiet: true,
    look() {
      const health = traces.health();
      if (health.ok) return fine;
      return {
        status: 'warn',
        reason: `the collector does not take traces: ${health.reason}`,
        remedy: 'See that it runs at otlpEndpoint, speaks OTLP over HTTP, and takes what otlpHeaders says.',
      };
    },
  };
}

/** Whether this node has its lease, and reaches the others. */
export function nodesCheck(nodes: Pick<Nodes, 'membership' | 'unreached'>): HealthCheck {
  return {
    name: 'nodes',
    look() {
      const { membership } = nodes;
      if (membership.isReplaced) {
        return {
          status: 'fail',
          reason: 'another process has the name of this node, and lives: this one lets no device in',
          remedy: 'Stop this process, or the other one; each node needs a nodeName of its own.',
        };
      }
      if (!membership.isValid) {
        const reason = 'this node could not renew its lease in PostgreSQL, and lets no device in';
        return {
          status: 'fail',
          reason,
          remedy: 'See that PostgreSQL can be reached; the node then goes on by itself.',
        };
      }
      if (membership.isDraining) {
        return {
          status: 'fail',
          reason: 'this node is being emptied',
          remedy: 'Stop it when no device is connected to it.',
        };
      }
      const names = nodes.unreached().join(', ');
      if (names === '') return fine;
      return {
        status: 'warn',
        reason: `this node cannot reach ${names}: changes wait until they are told by the database, up to some seconds each`,
        remedy: 'See that the nodes reach each other at their nodeAddress and nodePort.',
      };
    },
  };
}
