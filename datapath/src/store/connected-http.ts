// The line to the conductor of a store that has networks of its own. Conductors are reached by another network than data, so a store whose
// network for data is lost would go on being heard, and its primaries would stay where nobody reaches them. Such a store says nothing: as
// for one that is cut off altogether, others take its place. Put around the HTTP of a store's ConductorClient.
import { PfError } from '../base/errors.ts';
import type { Http } from '../world/http.ts';

/** `lost`: names what is missing now, or null. Requests then fail with CONNECTION_LOST. */
export function whileConnected(http: Http, lost: () => string | null): Http {
  return {
    serve: (host, port, handler) => http.serve(host, port, handler),
    request: (call) => {
      const missing = lost();
      if (missing === null) return http.request(call);
      return Promise.reject(
        new PfError(
          'CONNECTION_LOST',
          `${missing}: this store keeps silent until it is back, so that others take its place; look at the interface of that network`,
        ),
      );
    },
  };
}
