import { limits } from '../../base/limits.ts';
import type { MonitoringReport, Recorder } from './types.ts';

/**
 * The same recorder, which puts the id of the device's connection into the first step of each traced message: the events
 * `connected`, the messages and `disconnected` then name one connection. It learns the connections from what it records.
 */
export function joinedToConnections(recorder: Recorder): Recorder {
  /** Of devices and modules that are connected; the longest connected leave first where there are too many. */
  const connections = new Map<string, Pick<MonitoringReport, 'correlationId' | 'protocol' | 'credential'>>();
  const nameOf = ({ deviceId, moduleId }: MonitoringReport): string => `${deviceId}/${moduleId ?? ''}`;
  return {
    record(report) {
      if (report.type === 'connected') {
        const { correlationId, protocol, credential } = report;
        connections.set(nameOf(report), { correlationId, protocol, credential });
        if (connections.size > limits.traceConnectionsMax) {
          connections.delete(connections.keys().next().value as string);
        }
      } else if (report.type === 'disconnected') {
        const name = nameOf(report);
        if (connections.get(name)?.correlationId === report.correlationId) connections.delete(name);
      } else if (report.type === 'traceStep' && report.step === 'received') {
        const connection = connections.get(nameOf(report));
        // A request by HTTP has no connection, whatever else the device holds.
        if (connection !== undefined && connection.protocol === report.protocol) {
          recorder.record({ ...report, ...connection });
          return;
        }
      }
      recorder.record(report);
    },
  };
}
