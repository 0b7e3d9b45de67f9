/**
 * Usage of AI providers' SDKs as meters of Refill.
 *
 * What the fields mean, and so how `cached_input_tokens` is not counted twice:
 * - OpenAI: `prompt_tokens` (chat) and `input_tokens` (responses) include `cached_tokens`.
 *   https://platform.openai.com/docs/guides/prompt-caching
 * - Anthropic: `input_tokens` excludes `cache_read_input_tokens` and `cache_creation_input_tokens`.
 *   https://docs.claude.com/en/docs/build-with-claude/prompt-caching
 * - Google: `promptTokenCount` includes `cachedContentTokenCount`; tokens of tool results and of thoughts are
 *   counted beside prompt and candidates. https://ai.google.dev/api/generate-content#UsageMetadata
 * - Vercel AI SDK: `inputTokens` includes cached tokens, as a number (version 5) or as `inputTokens.total`
 *   (versions 6 and later). https://ai-sdk.dev/docs/reference/ai-sdk-core/generate-text
 * Tokens written to a cache are input tokens: there is no meter for them.
 */

export const METERS = [
  "tokens",
  "input_tokens",
  "output_tokens",
  "cached_input_tokens",
  "image_tokens",
  "images",
  "seconds",
  "uses",
  "messages",
  "characters",
] as const;
export type Meter = (typeof METERS)[number];
export type Meters = Partial<Record<Meter, number>>;
/** Meters and quantities, or a response, the last chunk of a stream or a usage object of an SDK. */
export type Usage = Meters | object;

type Fields = Record<string, unknown>;

/** Whether the object has the form of an SDK, and not the meters of Refill. */
export function isSdkObject(thing: Usage): boolean {
  return !Object.keys(thing).every((name) => (METERS as readonly string[]).includes(name));
}

/**
 * The meters and quantities of a response, chunk or usage object. With `separateCached: false` cached tokens count
 * as input tokens. Throws TypeError when the object has no usage, such as a chunk that is not a stream's last.
 */
export function usageOf(thing: Usage, options: { separateCached?: boolean } = {}): Meters {
  if (thing === null || typeof thing !== "object") throw new TypeError(`${String(thing)} has no usage.`);
  if (!isSdkObject(thing)) return thing as Meters;
  const meters = counted(usageObject(thing as Fields));
  return options.separateCached === false ? withoutCached(meters) : meters;
}

/** The usage with its cached tokens counted as input tokens. */
export function withoutCached(usage: Meters): Meters {
  const { cached_input_tokens: cached = 0, input_tokens: input = 0, ...rest } = usage;
  return { input_tokens: input + cached, ...rest };
}

function usageObject(thing: Fields): Fields {
  for (const name of ["usage", "usageMetadata", "usage_metadata"]) {
    const inner = thing[name];
    if (inner !== null && typeof inner === "object") return inner as Fields;
  }
  const response = thing["response"]; // `response.completed` of OpenAI
  return response !== null && typeof response === "object" ? usageObject(response as Fields) : thing;
}

function counted(usage: Fields): Meters {
  let input = count(usage, "prompt_tokens");
  if (input !== undefined) {
    const cached = count(part(usage, "prompt_tokens_details"), "cached_tokens");
    return meters(input - (cached ?? 0), count(usage, "completion_tokens"), cached);
  }
  input = count(usage, "promptTokenCount", "prompt_token_count");
  if (input !== undefined) {
    const cached = count(usage, "cachedContentTokenCount", "cached_content_token_count");
    const tools = count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count") ?? 0;
    const thoughts = count(usage, "thoughtsTokenCount", "thoughts_token_count") ?? 0;
    const answer = count(usage, "candidatesTokenCount", "candidates_token_count") ?? 0;
    return meters(input - (cached ?? 0) + tools, answer + thoughts, cached);
  }
  input = count(part(usage, "inputTokens"), "total");
  if (input !== undefined) {
    const cached = count(part(usage, "inputTokens"), "cacheRead");
    return meters(input - (cached ?? 0), count(part(usage, "outputTokens"), "total"), cached);
  }
  input = count(usage, "inputTokens");
  if (input !== undefined) {
    const details = part(usage, "inputTokenDetails");
    const cached = count(details, "cacheReadTokens") ?? count(usage, "cachedInputTokens");
    return meters(input - (cached ?? 0), count(usage, "outputTokens"), cached);
  }
  input = count(usage, "input_tokens");
  if (input === undefined) {
    throw new TypeError(
      "The object has no usage. Of a stream, give the last chunk (OpenAI: stream_options: { include_usage: true })" +
        " or the final message.",
    );
  }
  if (part(usage, "input_tokens_details") !== undefined) {
    const cached = count(part(usage, "input_tokens_details"), "cached_tokens");
    return meters(input - (cached ?? 0), count(usage, "output_tokens"), cached);
  }
  const written = count(usage, "cache_creation_input_tokens") ?? 0;
  return meters(input + written, count(usage, "output_tokens"), count(usage, "cache_read_input_tokens"));
}

function meters(input: number, output: number | undefined, cached: number | undefined): Meters {
  return {
    input_tokens: input,
    ...(output === undefined ? {} : { output_tokens: output }),
    ...(cached ? { cached_input_tokens: cached } : {}),
  };
}

function part(usage: Fields, name: string): Fields | undefined {
  const inner = usage[name];
  return inner !== null && typeof inner === "object" ? (inner as Fields) : undefined;
}

function count(usage: Fields | undefined, ...names: string[]): number | undefined {
  for (const name of names) {
    const value = usage?.[name];
    if (typeof value === "number") return value;
  }
  return undefined;
}
