// Logs to stderr: JSON lines for daemons (jsonLogger), plain text for people at terminals (textLogger).
import { formatErrorChain } from '../../base/errors.ts';
import { LOG_LEVELS, type Logger, type LogLevel } from '../log.ts';

type Fields = Readonly<Record<string, unknown>>;
type LineFormat = (level: LogLevel, message: string, fields: Fields) => string;

export interface ConsoleLogOptions {
  /** Default: PF_LOG_LEVEL from the environment, else "info". */
  readonly level?: LogLevel;
  readonly fields?: Fields;
  /** Default: standard error. */
  readonly write?: (line: string) => void;
}

/** {"time":"2026-01-31T12:00:00.000Z","level":"info","message":"...", ...fields} */
export function jsonLogger(options: ConsoleLogOptions = {}): Logger {
  return rootLogger(options, (level, message, fields) =>
    JSON.stringify({ time: new Date().toISOString(), level, message, ...plainFields(fields) }),
  );
}

/** message key=value key="two words" */
export function textLogger(options: ConsoleLogOptions = {}): Logger {
  return rootLogger(options, (level, message, fields) => {
    const parts = [level === 'info' ? message : `${level}: ${message}`];
    for (const [name, value] of Object.entries(plainFields(fields))) {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      parts.push(`${name}=${/[\s"]/.test(text) ? JSON.stringify(text) : text}`);
    }
    return parts.join(' ');
  });
}

/** What a logger shares with its children. */
interface Sink {
  threshold: number;
  readonly write: (line: string) => void;
  readonly format: LineFormat;
}

function rootLogger(options: ConsoleLogOptions, format: LineFormat): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level ?? levelFromEnvironment());
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  return makeLogger({ threshold, write, format }, options.fields ?? {});
}

function makeLogger(sink: Sink, fixed: Fields): Logger {
  const say =
    (level: LogLevel) =>
    (message: string, fields: Fields = {}): void => {
      if (LOG_LEVELS.indexOf(level) >= sink.threshold) sink.write(`${sink.format(level, message, { ...fixed, ...fields })}\n`);
    };
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: (fields) => makeLogger(sink, { ...fixed, ...fields }),
    setLevel: (level) => {
      sink.threshold = LOG_LEVELS.indexOf(level);
    },
  };
}

function levelFromEnvironment(): LogLevel {
  const wanted = process.env['PF_LOG_LEVEL'];
  return LOG_LEVELS.find((level) => level === wanted) ?? 'info';
}

function plainFields(fields: Fields): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    plain[name] = value instanceof Error ? formatErrorChain(value) : typeof value === 'bigint' ? value.toString() : value;
  }
  return plain;
}
