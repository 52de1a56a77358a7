/**
 * A TCP proxy that does to a connection what networks do: delays, losses, partitions, ends that no longer answer, slow links, streams
 * that are cut or damaged. It stands between two gateways and sees nothing but TLS.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export type TcpFault =
  | { readonly type: 'none' }
  /** Every piece of data comes so many milliseconds later, in order. */
  | { readonly type: 'delay'; readonly ms: number }
  /** Connections are cut, and new ones refused. */
  | { readonly type: 'partition' }
  /** Connections stay open, and nothing passes any more. */
  | { readonly type: 'half-open' }
  /** So many bytes a second pass on each connection. */
  | { readonly type: 'slow'; readonly bytesPerSecond: number }
  /** Every connection is cut after so many bytes. */
  | { readonly type: 'truncate'; readonly bytes: number }
  /** One bit of every so many bytes is flipped. */
  | { readonly type: 'corrupt'; readonly everyBytes: number };

export type TcpProxy = {
  readonly port: number;
  /** What happens from now on, to connections that are open too. */
  set(fault: TcpFault): void;
  /** Connections taken so far. */
  readonly connections: () => number;
  close(): Promise<void>;
};

type Pipe = { readonly from: Socket; readonly to: Socket };

/** Changed in place as the fault changes. */
type State = { fault: TcpFault; readonly pipes: Set<Pipe>; connections: number };

const flipBits = (chunk: Buffer, seen: number, everyBytes: number): Buffer => {
  const damaged = Buffer.from(chunk);
  for (let at = everyBytes - (seen % everyBytes) - 1; at < damaged.length; at += everyBytes) damaged[at]! ^= 1;
  return damaged;
};

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Carries one direction of one connection; each piece waits for the one before. */
const carry = (state: State, { from, to }: Pipe): void => {
  let seen = 0;
  let last = Promise.resolve();
  const pass = async (chunk: Buffer): Promise<void> => {
    const { fault } = state;
    if (fault.type === 'half-open') return;
    if (fault.type === 'delay') await after(fault.ms);
    if (fault.type === 'slow') await after((chunk.length / fault.bytesPerSecond) * 1_000);
    if (fault.type === 'truncate' && seen + chunk.length > fault.bytes) {
      to.write(chunk.subarray(0, Math.max(0, fault.bytes - seen)));
      from.destroy();
      return void to.destroySoon();
    }
    to.write(fault.type === 'corrupt' ? flipBits(chunk, seen, fault.everyBytes) : chunk);
    seen += chunk.length;
  };
  from.on('data', (chunk: Buffer) => {
    from.pause();
    last = last.then(() => pass(chunk)).then(() => void from.resume());
  });
  from.on('end', () => void last.then(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => void last.then(() => to.destroySoon()));
};

/** Listens on a free port of the loopback address and passes on to `upstreamPort`, which may be told later. */
export const openTcpProxy = async (upstreamPort: () => number): Promise<TcpProxy> => {
  const state: State = { fault: { type: 'none' }, pipes: new Set(), connections: 0 };
  const server = createServer({ noDelay: true }, (inner) => {
    state.connections++;
    if (state.fault.type === 'partition') return void inner.destroy();
    const outer = connect({ port: upstreamPort(), host: '127.0.0.1', noDelay: true });
    const pipes: Pipe[] = [
      { from: inner, to: outer },
      { from: outer, to: inner },
    ];
    for (const pipe of pipes) {
      state.pipes.add(pipe);
      pipe.from.on('close', () => state.pipes.delete(pipe));
      carry(state, pipe);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const { from } of state.pipes) from.destroy();
  };
  return {
    // A server that listens on a port has an address of this kind.
    port: (server.address() as AddressInfo).port,
    connections: () => state.connections,
    set: (fault) => {
      state.fault = fault;
      if (fault.type === 'partition') cut();
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cut();
      await closed;
    },
  };
};
