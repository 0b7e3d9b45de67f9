/** A function that charges for its calls. */

import type { Client, HoldFields, Maximum } from "./client.ts";
import type { Usage } from "./usage.ts";

export interface ChargedOptions<A extends unknown[], R> {
  /** Fields of the use, such as `{ account }`, from the arguments of the call. */
  fields?: (...args: A) => HoldFields;
  /** The usage of a result that is not an SDK's response. */
  usage?: (result: R) => Usage;
}

/** The function, with a hold of `maximum` before each call and a capture of its result's usage after it. */
export function charged<A extends unknown[], R>(
  client: Client,
  service: string,
  maximum: Maximum,
  act: (...args: A) => Promise<R>,
  options: ChargedOptions<A, R> = {},
): (...args: A) => Promise<R> {
  return (...args) =>
    client.hold(
      service,
      maximum,
      async (hold) => {
        const result = await act(...args);
        await hold.capture(options.usage ? options.usage(result) : (result as Usage));
        return result;
      },
      options.fields?.(...args),
    );
}
