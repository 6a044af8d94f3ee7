// Serves protocol version 1 clients where the store allows it: their requests carry neither token nor epoch, so they get the
// volume's current ones. They cannot be fenced by an epoch; the meta version still stops what is stale.
import type { StoreCommand, StoreLink } from '../wire/command.ts';
import type { Volumes } from './volumes.ts';

export class LegacyLink implements StoreLink {
  readonly #volumes: Volumes;
  readonly #target: StoreLink;

  constructor(volumes: Volumes, target: StoreLink) {
    this.#volumes = volumes;
    this.#target = target;
  }

  get isUp(): boolean {
    return this.#target.isUp;
  }

  submit(command: StoreCommand): void {
    const volume = this.#volumes.find(command.volumeId);
    command.token = volume?.token ?? 0;
    command.attachEpoch = volume?.attachEpoch ?? 0;
    this.#target.submit(command);
  }
}
