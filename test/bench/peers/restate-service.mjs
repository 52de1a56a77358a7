/**
 * A Restate service as its users run it: an HTTP/2 endpoint of the SDK. Its handler has two durable steps: the server has each
 * step's outcome in its log before the handler goes on.
 */
import { createServer } from 'node:http2';
import * as restate from '@restatedev/restate-sdk';

const two = restate.service({
  name: 'two',
  handlers: {
    run: async (ctx, id) => {
      await ctx.run('write1', () => ({ id: `${id}/1`, text: 'hello' }));
      await ctx.run('write2', () => ({ id: `${id}/2`, text: 'hello' }));
      return id;
    },
  },
});

const server = createServer(restate.createEndpointHandler({ services: [two], logger: () => {} }));
server.listen(0, '127.0.0.1', () => process.send(`http://127.0.0.1:${server.address().port}`));
process.once('disconnect', () => process.exit(0));
