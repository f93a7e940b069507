import type { OperationArgs, OperationName, OperationResult } from './operations.ts';

/** What carries out operations, each in a transaction of its own, and answers when it is durable. */
export interface TableCaller {
  /** @throws HubError ServiceUnavailable, ServerError */
  call<Name extends OperationName>(name: Name, ...args: OperationArgs<Name>): Promise<OperationResult<Name>>;
  /** The same; `then` runs once the operation is durable, and before the promise resolves. */
  callThen<Name extends OperationName, Result>(
    name: Name,
    args: OperationArgs<Name>,
    then: (value: OperationResult<Name>) => Result,
  ): Promise<Result>;
}
