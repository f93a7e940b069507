/** The part of Standard Schema (standardschema.dev, version 1) that a host uses. zod's schemas are such. */
export interface StandardSchema<Value = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): SchemaResult<Value> | Promise<SchemaResult<Value>>;
    /** Standard JSON Schema, where the schema can print itself. */
    readonly jsonSchema?: { input(options: { readonly target: string }): Record<string, unknown> };
  };
}

export type SchemaResult<Value> =
  | { readonly value: Value; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
