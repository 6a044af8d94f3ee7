// A log that keeps its lines for the test.
import type { Logger } from '@pureflash/datapath/world';

export class QuietLog implements Logger {
  readonly lines: string[];

  constructor(lines: string[] = []) {
    this.lines = lines;
  }

  setLevel(): void {}

  debug(message: string): void {
    this.lines.push(`debug ${message}`);
  }

  info(message: string): void {
    this.lines.push(`info ${message}`);
  }

  warn(message: string): void {
    this.lines.push(`warn ${message}`);
  }

  error(message: string): void {
    this.lines.push(`error ${message}`);
  }

  child(): Logger {
    return new QuietLog(this.lines);
  }
}
