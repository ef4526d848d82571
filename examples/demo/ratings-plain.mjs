// Ratings as plain Node, for machines with neither Python nor Perl: no library, only HTTP_PROXY.
import { createServer, request } from "node:http";

const proxy = new URL(process.env.HTTP_PROXY);

createServer((req, res) => {
  const item = req.url.split("/").at(-1);
  const answer = (status, value) =>
    res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  const call = request({
    host: proxy.hostname,
    port: proxy.port,
    path: `http://inventory.shop/items/${item}`,
    headers: { host: "inventory.shop" },
  });
  call.on("error", (error) => answer(502, { error: error.message }));
  call.on("response", (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => (body += chunk));
    response.on("end", () =>
      response.statusCode === 200
        ? answer(200, { item, stars: 1 + (JSON.parse(body).stock % 5) })
        : answer(502, { error: body }),
    );
  });
  call.end();
}).listen(Number(process.env.PORT), "127.0.0.1");
