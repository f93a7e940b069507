/** What the documentation says of a setting, beside its form and default. */
export interface SettingMeta {
  readonly topic:
    | 'Data'
    | 'Cluster'
    | 'Names and reach'
    | 'Ports'
    | 'Certificates'
    | 'Events'
    | 'Routes'
    | 'Files'
    | 'Adapters'
    | 'Limits'
    | 'Monitoring'
    | 'Keys'
    | 'Log and output';
  readonly meaning: string;
  /** What a value must look like; also the sentence of a refusal. */
  readonly form: string;
  /** Stands for a default that is not a fixed value. */
  readonly otherwise?: string;
  /** Never by flag, never printed. */
  readonly secret?: boolean;
  /** A variable of a standard that is read where our own is not given. */
  readonly standardVariable?: string;
}
