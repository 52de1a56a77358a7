/** Names in Kafka: several clusters share one Kafka, each under a prefix of its own for topics and groups. */
export type Names = {
  readonly prefix: string;
  topic(callers: string): string;
  /** The way back; `''` is no topic of this cluster. */
  callersTopic(kafka: string): string;
  group(callers: string): string;
};

export const createNames = (prefix: string): Names => ({
  prefix,
  topic: (callers) => prefix + callers,
  callersTopic: (kafka) => (kafka.startsWith(prefix) ? kafka.slice(prefix.length) : ''),
  group: (callers) => prefix + callers,
});
