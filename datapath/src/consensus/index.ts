// The door of the consensus library.
export { EmbeddedEngine, type EmbeddedEngineOptions } from './embedded-engine.ts';
export type { Engine, Machine } from './engine.ts';
