export interface TelemetryOutOptions {
  rounds: number;
  threads: number;
  tls: boolean;
  directory: string;
  jsonFile?: string;
  events: number;
  payloadBytes: number;
  readers: number;
  client: 'counting' | 'rhea';
}
export async function telemetryOut(_: TelemetryOutOptions): Promise<void> {}
