// node.js: echo and http of servers.h on Node: node node.js echo|http PORT
const [kind, port] = process.argv.slice(2);
const server = kind === 'echo'
    ? require('net').createServer({ noDelay: true }, (socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', (bytes) => socket.write(bytes));
    })
    : require('http').createServer((request, response) => {
        response.setHeader('Content-Type', 'text/plain');
        response.setHeader('Content-Length', 12);
        response.end('hello world\n');
    });
server.listen({ port: +port, host: '127.0.0.1', backlog: 4096 });
