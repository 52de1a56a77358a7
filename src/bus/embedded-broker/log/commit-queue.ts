/**
 * Group commit: what arrives while the disk is busy is gathered into the next write, so that the number of writes does not
 * grow with the number of publishers. One write is under way at a time; that order is what recovery rests on.
 */
import { BusError } from '../../bus.ts';
import type { LogRecord } from '../../engine.ts';
import type { Location } from '../record.ts';
import type { LogEntry } from './entry.ts';

export type Submission = {
  readonly records: readonly LogRecord[];
  /** For each record, the partition it belongs to. */
  readonly owners: readonly { readonly topicNumber: number }[];
  /** Length of all text, UTF-16 units. */
  readonly chars: number;
  /** Further entries, made when the frame is built: everything submitted before is then durable and shown. */
  readonly entries?: () => readonly LogEntry[];
  readonly done: (location: Location) => void;
  readonly failed: (error: BusError) => void;
};

export type CommitQueueOptions = {
  readonly frameCharsMax: number;
  readonly queueCharsMax: number;
  /** Makes the batch durable as one frame. `batch` is empty when only riders are to be written. */
  readonly write: (batch: readonly Submission[]) => Promise<Location>;
  /** Called after each frame, when every submission in it is done. */
  readonly written: () => void;
  /** Whether what rides along has waited long enough to be written by itself. */
  readonly ridersDue: () => boolean;
};

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #queue: Submission[] = [];
  #queueChars = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** Throws where nothing more is taken in: asked before offsets are given, since those of a refused record would be holes. */
  assertOpen(): void {
    if (this.#closed) throw new BusError('BUS_CLOSED', 'the broker is closed');
    if (this.#queueChars > this.#options.queueCharsMax) throw new BusError('BUS_UNREACHABLE', 'more is published than the disk can take; publish again later');
  }

  submit(submission: Submission): void {
    this.#queue.push(submission);
    this.#queueChars += submission.chars;
    this.kick();
  }

  /** Starts writing unless it goes on. It begins after the caller's turn, so that what is published in one turn is one write. */
  kick(): void {
    this.#running ??= Promise.resolve().then(() => this.#run());
  }

  /** Writes what is queued, refuses what comes later. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#options.ridersDue()) this.kick();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Each turn takes at least one submission or all riders, so the loop ends when nobody brings more.
    while (this.#queue.length > 0 || this.#options.ridersDue()) {
      const batch = this.#take();
      try {
        const location = await this.#options.write(batch);
        for (const { done } of batch) done(location);
        this.#options.written();
      } catch (cause) {
        this.#fail(batch, cause);
        break;
      }
    }
    this.#running = undefined;
    if (this.#queue.length > 0) this.kick();
  }

  /** A submission with entries of its own has a frame of its own. */
  #take(): Submission[] {
    const batch: Submission[] = [];
    let chars = 0;
    for (const submission of this.#queue) {
      const alone = submission.entries !== undefined;
      if (batch.length > 0 && (alone || chars + submission.chars > this.#options.frameCharsMax)) break;
      batch.push(submission);
      chars += submission.chars;
      if (alone) break;
    }
    this.#queue.splice(0, batch.length);
    this.#queueChars -= chars;
    return batch;
  }

  /** Offsets behind the failed ones were given already, so everything queued fails with them. */
  #fail(batch: readonly Submission[], cause: unknown): void {
    const error = cause instanceof BusError ? cause : new BusError('BUS_UNREACHABLE', 'the broker could not write its log', { cause });
    const behind = this.#queue;
    this.#queue = [];
    this.#queueChars = 0;
    for (const { failed } of [...batch, ...behind]) failed(error);
  }
}
