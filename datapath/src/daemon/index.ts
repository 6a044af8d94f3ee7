// The door of the daemon-management library: the manager's half, and what a daemon's main file needs.
export { askDaemon } from './ask-daemon.ts';
export { compareConfigs, hashConfig, type ConfigChange, type ConfigHashes } from './config-change.ts';
export type { ConnectionTimings } from './connection.ts';
export { ControlServer, type ControlHandler, type ControlServerOptions } from './control-server.ts';
export { MuxServer, type MuxHandler } from './mux-server.ts';
export { MuxService, type MuxServiceOptions } from './mux-service.ts';
export { fileStem, RecordFolder, type ProcessRecord } from './process-record.ts';
export type { Command } from './process.ts';
export { Registry, type DaemonKind, type Scope } from './registry.ts';
export { DEFAULT_RESTART_POLICY, type RestartPolicy } from './restart-policy.ts';
export type { Notice, Phase } from './service-core.ts';
export { ServiceSet, type ServiceResult, type ServiceSetOptions, type SetDump } from './service-set.ts';
export { DEFAULT_SERVICE_TIMINGS, Service } from './service.ts';
export type { DaemonPlace, ServiceDefinition, ServiceListener, ServicePlaces, ServiceStatus, ServiceTimings } from './service.ts';
export { controlSocketPath } from './socket-path.ts';
