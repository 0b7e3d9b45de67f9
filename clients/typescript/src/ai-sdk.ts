/**
 * Middleware of the Vercel AI SDK (versions 5 to 7): holds credits before each call of a model and captures what it
 * used. `wrapLanguageModel({ model, middleware: refillMiddleware(client, { maximum: "5" }) })`. Its types are
 * structural, so that no package of the SDK is needed. With too few credits the call throws InsufficientCredits and
 * nothing is sent to the provider.
 */

import type { Client, HoldFields, Maximum } from "./client.ts";
import { Hold } from "./hold.ts";

export interface MiddlewareOptions {
  maximum: Maximum;
  /** The service of a model, or of every model. Default: its `modelId`. */
  service?: string | ((modelId: string) => string);
  fields?: HoldFields;
}
interface Model {
  modelId: string;
}
interface StreamPart {
  type: string;
  usage?: unknown;
}

export interface RefillMiddleware<V extends string> {
  readonly specificationVersion: V;
  wrapGenerate<R extends { usage: object }>(call: { doGenerate: () => PromiseLike<R>; model: Model }): Promise<R>;
  wrapStream<P, R extends { stream: ReadableStream<P> }>(call: {
    doStream: () => PromiseLike<R>;
    model: Model;
  }): Promise<R>;
}

/** `version`: the specification of the SDK's providers: "v2" (version 5), "v3" (version 6), "v4" (version 7). */
export function refillMiddleware<V extends string = "v4">(
  client: Client,
  options: MiddlewareOptions,
  version: V = "v4" as V,
): RefillMiddleware<V> {
  const named = options.service;
  const service = (modelId: string) => (typeof named === "function" ? named(modelId) : (named ?? modelId));
  return {
    specificationVersion: version,
    wrapGenerate: ({ doGenerate, model }) =>
      client.hold(
        service(model.modelId),
        options.maximum,
        async (hold) => {
          const result = await doGenerate();
          await hold.capture(result.usage);
          return result;
        },
        options.fields,
      ),
    wrapStream: async ({ doStream, model }) => {
      const opened = await client.openHold(service(model.modelId), options.maximum, options.fields);
      const hold = new Hold(client, opened);
      try {
        const result = await doStream();
        return { ...result, stream: captured(result.stream, hold) };
      } catch (error) {
        await hold.end();
        throw error;
      }
    },
  };
}

/** The stream; its part `finish` has the usage. A stream that ends or is cancelled before it is released. */
function captured<P>(stream: ReadableStream<P>, hold: Hold): ReadableStream<P> {
  const reader = stream.getReader();
  return new ReadableStream<P>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) {
          await hold.end();
          return controller.close();
        }
        const part = value as StreamPart;
        if (part.type === "finish" && part.usage) await hold.capture(part.usage as object);
        controller.enqueue(value);
      } catch (error) {
        await hold.end();
        controller.error(error);
      }
    },
    async cancel(reason) {
      await hold.end();
      await reader.cancel(reason);
    },
  });
}
