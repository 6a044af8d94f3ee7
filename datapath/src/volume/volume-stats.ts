// What a volume client counts, for `pfcli` and for metrics.

export class VolumeStats {
  requests = 0;
  bytesRead = 0;
  bytesWritten = 0;
  /** Requests that ended with an errno. */
  failures = 0;
  /** Commands sent again, for any reason. */
  retries = 0;
  /** Layouts taken that had something newer. */
  reopens = 0;
  /** From submission to answer, the slowest request so far. */
  longestStallMs = 0;
}
