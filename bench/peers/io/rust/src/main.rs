// main.rs: the servers of servers.h on Tokio (http: hyper): echo|http|mixed PORT THREADS; one thread: its
// single-threaded runtime. And the files of files.h: read FILE DEPTH SECONDS DIRECT, copy FROM TO.
mod file;

use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

const BUFFER_BYTES: usize = 4096;
const LONG_MARK: u8 = b'C';
const LONG: Duration = Duration::from_millis(10);

fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().unwrap()
}

fn compute() {
    let end = Instant::now() + LONG;
    while Instant::now() < end {}
}

async fn serve(mut socket: tokio::net::TcpStream, mixed: bool) {
    let _ = socket.set_nodelay(true);
    let mut buffer = vec![0u8; BUFFER_BYTES];
    // ends with the connection
    while let Ok(n) = socket.read(&mut buffer).await {
        if n == 0 {
            return;
        }
        if mixed && buffer[0] == LONG_MARK {
            compute();
        }
        if socket.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn serve_all(port: u16, mixed: bool) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    // until killed
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, mixed));
        }
    }
}

async fn serve_http(port: u16) {
    use hyper::service::{make_service_fn, service_fn};
    let make = make_service_fn(|_| async {
        Ok::<_, Infallible>(service_fn(|_| async {
            Ok::<_, Infallible>(hyper::Response::new(hyper::Body::from("hello world\n")))
        }))
    });
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    hyper::Server::bind(&address).tcp_nodelay(true).serve(make).await.unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 4 {
        std::process::exit(2);
    }
    let threads = || -> usize { args[3].parse().unwrap() };
    let port = || -> u16 { args[2].parse().unwrap() };
    match args[1].as_str() {
        "echo" | "mixed" => {
            let mixed = args[1] == "mixed";
            // in a task, as all others: the thread of block_on is no worker
            runtime(threads()).block_on(async { tokio::spawn(serve_all(port(), mixed)).await.unwrap() })
        }
        "http" => runtime(threads()).block_on(async { tokio::spawn(serve_http(port())).await.unwrap() }),
        "read" if args.len() == 6 => {
            runtime(1).block_on(file::read_all(&args[2], threads() as u64, args[4].parse().unwrap(), args[5] == "1"))
        }
        "copy" => runtime(1).block_on(file::copy_all(&args[2], &args[3])),
        _ => std::process::exit(2),
    }
}
