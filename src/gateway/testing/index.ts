/** `mooring/gateway/testing`: a hub in memory, and the contract that every adapter keeps. */
export * from './contract.ts';
export { FakeHub, type FakeMessage } from './fake-hub.ts';
export { fakeRig } from './fake-rig.ts';
export { type RunningAdapter, runAdapter } from './run-adapter.ts';
