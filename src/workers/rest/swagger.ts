/**
 * Swagger UI at `/api/v5_2/swagger`, from files that the host has on its disk: nothing is loaded from elsewhere, and no script stands in
 * the page itself. Where the host has no such files (Cloudflare), a plain page says where the document is.
 */
import { securityHeaders } from './response.ts';

const names = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const;
type Name = (typeof names)[number];
export type ReadSwaggerFile = (name: Name) => Promise<Uint8Array<ArrayBuffer> | undefined>;

export const documentPath = '/api/v5_2/swagger.json';
const pagePath = '/api/v5_2/swagger';

export const isDocumentation = (path: string): boolean => /^\/api\/v5_2\/swagger(\.json$|\/|$)/i.test(path);

const types: Readonly<Record<Name | 'initialize.js', string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
  'initialize.js': 'text/javascript; charset=utf-8',
};

/** The page runs the scripts of this server and calls this server; Swagger UI sets styles and draws its icons from data. */
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";

const pageOf = (head: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cordage REST API</title>
${head}</head>
<body>
${body}
</body>
</html>
`;

const page = pageOf(
  `<link rel="icon" href="${pagePath}/favicon-32x32.png">\n<link rel="stylesheet" href="${pagePath}/swagger-ui.css">\n<script defer src="${pagePath}/swagger-ui-bundle.js"></script>\n<script defer src="${pagePath}/initialize.js"></script>\n`,
  '<div id="swagger"></div>',
);
const plainPage = pageOf('', `<p>Swagger UI is not installed on this server. The OpenAPI document is at <a href="${documentPath}">${documentPath}</a>.</p>`);
const initialize = `window.ui = SwaggerUIBundle({ url: '${documentPath}', dom_id: '#swagger', deepLinking: true, validatorUrl: null });\n`;

const found = (content: string | Uint8Array<ArrayBuffer>, type: string): Response =>
  new Response(content, { headers: { ...securityHeaders, 'content-security-policy': pagePolicy, 'content-type': type, 'cache-control': 'no-cache' } });

const isName = (text: string): text is Name => names.some((name) => name === text);

/** The page and its files; `undefined` for any other path. Anybody may read them, as they may read the document. */
export const swaggerResponse = async (path: string, read: ReadSwaggerFile | undefined): Promise<Response | undefined> => {
  const wanted = path.toLowerCase();
  if (wanted === pagePath || wanted === `${pagePath}/`) {
    const installed = (await read?.('swagger-ui.css')) !== undefined;
    return found(installed ? page : plainPage, 'text/html; charset=utf-8');
  }
  if (!wanted.startsWith(`${pagePath}/`)) return undefined;
  const name = wanted.slice(pagePath.length + 1);
  if (name === 'initialize.js') return found(initialize, types[name]);
  const bytes = isName(name) ? await read?.(name) : undefined;
  return bytes === undefined || !isName(name) ? undefined : found(bytes, types[name]);
};
