//! The workloads on rayon, and those that are tasks on Tokio. See workloads.h.
//! Usage: peer-rust rayon|tokio WORKLOAD THREADS
mod graphs;
use rayon::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

const QUEENS_N: usize = 11;

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (left, right) = rayon::join(|| fib(n - 1), || fib(n - 2));
    left + right
}

/// Runs part(0) to part(N - 1) in a scope; the sum of their results.
fn all<const N: usize>(part: impl Fn(usize) -> u64 + Sync) -> u64 {
    let mut results = [0u64; N];
    rayon::scope(|s| {
        for (i, result) in results.iter_mut().enumerate() {
            let part = &part;
            s.spawn(move |_| *result = part(i));
        }
    });
    results.iter().sum()
}

fn skynet(first: u64, leaves: u64) -> u64 {
    match leaves {
        1 => first,
        _ => all::<10>(|i| skynet(first + i as u64 * (leaves / 10), leaves / 10)),
    }
}

#[derive(Clone, Copy)]
struct Board {
    row: usize,
    column: [i8; QUEENS_N],
}

fn fits(b: &Board, column: i8) -> bool {
    (0..b.row).all(|i| {
        let (distance, across) = ((b.row - i) as i8, column - b.column[i]);
        across != 0 && across != distance && across != -distance
    })
}

fn queens(b: Board) -> u64 {
    if b.row == QUEENS_N {
        return 1;
    }
    let mut found = [0u64; QUEENS_N];
    rayon::scope(|s| {
        for (column, place) in found.iter_mut().enumerate() {
            if fits(&b, column as i8) {
                let mut next = b;
                next.column[next.row] = column as i8;
                next.row += 1;
                s.spawn(move |_| *place = queens(next));
            }
        }
    });
    found.iter().sum()
}

pub fn uts_child(parent: u64, i: u64) -> u64 {
    let mut z = parent.wrapping_add((i + 1).wrapping_mul(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

fn uts(node: u64) -> u64 {
    if (node >> 11) as f64 / 9007199254740992.0 >= 0.12 {
        return 1;
    }
    1 + all::<8>(|i| uts(uts_child(node, i as u64)))
}

const BLOCK: usize = 32;
const MATRIX: usize = 512;

/// A square of size x size elements in matrices whose rows are MATRIX apart. Squares that are written at
/// the same time do not overlap, which the compiler cannot see: hence the pointer.
#[derive(Clone, Copy)]
struct Product<'a> {
    c: *mut f64,
    a: &'a [f64],
    b: &'a [f64],
    size: usize,
}
unsafe impl Send for Product<'_> {}
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    fn quarter(&self, row: usize, column: usize, k: usize) -> Self {
        let half = self.size / 2;
        Product {
            c: unsafe { self.c.add(row * half * MATRIX + column * half) },
            a: &self.a[row * half * MATRIX + k * half..],
            b: &self.b[k * half * MATRIX + column * half..],
            size: half,
        }
    }
}

fn multiply(p: Product) {
    if p.size == BLOCK {
        for i in 0..BLOCK {
            for k in 0..BLOCK {
                let a = p.a[i * MATRIX + k];
                let b = &p.b[k * MATRIX..k * MATRIX + BLOCK];
                let c = unsafe { std::slice::from_raw_parts_mut(p.c.add(i * MATRIX), BLOCK) };
                for (to, from) in c.iter_mut().zip(b) {
                    *to += a * from;
                }
            }
        }
        return;
    }
    for k in 0..2 {
        rayon::scope(|s| {
            for i in 0..4 {
                let part = p.quarter(i / 2, i % 2, k);
                s.spawn(move |_| multiply(part));
            }
        });
    }
}

fn matmul() -> bool {
    let a: Vec<f64> = (0..MATRIX * MATRIX).map(|i| (i % 7) as f64).collect();
    let b: Vec<f64> = (0..MATRIX * MATRIX).map(|i| (i % 5) as f64 - 2.0).collect();
    let mut c = vec![0f64; MATRIX * MATRIX];
    multiply(Product { c: c.as_mut_ptr(), a: &a, b: &b, size: MATRIX });
    // enough to see a block that is missing
    (0..MATRIX).step_by(31).all(|i| {
        (0..MATRIX).step_by(13).all(|j| c[i * MATRIX + j] == (0..MATRIX).map(|k| a[i * MATRIX + k] * b[k * MATRIX + j]).sum::<f64>())
    })
}

fn storm() -> bool {
    let mut counted = vec![0u8; 200_000];
    rayon::scope(|s| {
        for place in counted.iter_mut() {
            s.spawn(move |_| *place += 1);
        }
    });
    counted.iter().all(|&times| times == 1)
}

fn rayon_run(workload: &str, numbers: &mut [u32]) -> bool {
    match workload {
        "fib" => fib(30) == 832040,
        "skynet" => skynet(0, 1_000_000) == 499_999_500_000,
        "nqueens" => queens(Board { row: 0, column: [0; QUEENS_N] }) == 2680,
        "uts" => (0..8000u64).into_par_iter().map(|i| uts(uts_child(42, i))).sum::<u64>() == 191672,
        "matmul" => matmul(),
        "storm" => storm(),
        _ => {
            numbers.par_iter_mut().for_each(|x| *x = x.wrapping_mul(1664525).wrapping_add(1013904223));
            true
        }
    }
}

fn async_fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let left = tokio::spawn(async_fib(n - 1));
        let right = async_fib(n - 2).await;
        left.await.unwrap() + right
    })
}

/// Spawns part(0) to part(n - 1); the sum of their results.
async fn async_all(parts: Vec<Pin<Box<dyn Future<Output = u64> + Send>>>) -> u64 {
    let tasks: Vec<_> = parts.into_iter().map(tokio::spawn).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

fn async_skynet(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        async_all((0..10).map(|i| async_skynet(first + i * (leaves / 10), leaves / 10)).collect()).await
    })
}

fn async_queens(b: Board) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if b.row == QUEENS_N {
            return 1;
        }
        let boards = (0..QUEENS_N as i8).filter(|&column| fits(&b, column)).map(|column| {
            let mut next = b;
            next.column[next.row] = column;
            next.row += 1;
            async_queens(next)
        });
        async_all(boards.collect()).await
    })
}

fn async_uts(node: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if (node >> 11) as f64 / 9007199254740992.0 >= 0.12 {
            return 1;
        }
        1 + async_all((0..8).map(|i| async_uts(uts_child(node, i))).collect()).await
    })
}

async fn async_run(workload: &str) -> bool {
    match workload {
        "fib" => async_fib(30).await == 832040,
        "skynet" => async_skynet(0, 1_000_000).await == 499_999_500_000,
        "nqueens" => async_queens(Board { row: 0, column: [0; QUEENS_N] }).await == 2680,
        "uts" => async_all((0..8000).map(|i| async_uts(uts_child(42, i))).collect()).await == 191672,
        _ => async_storm().await == 200_000,
    }
}

async fn async_storm() -> u64 {
    let tasks: Vec<_> = (0..200_000).map(|_| tokio::spawn(async { 1u64 })).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let threads: usize = args[3].parse().unwrap();
    if graphs::is_graph(&args[2]) {
        std::process::exit(if args[1] == "rayon" { graphs::measure(&args[2], threads) } else { 2 });
    }
    let ops = match (args[1].as_str(), args[2].as_str()) {
        (_, "fib") => 1346268.0,
        (_, "storm") => 200000.0,
        (_, "skynet") => 1111111.0,
        (_, "nqueens") => 2680.0,
        (_, "uts") => 191672.0,
        ("rayon", "matmul") => 4096.0,
        ("rayon", "pfor") => 1e7,
        _ => std::process::exit(2),
    };
    let mut numbers = vec![0u32; 10_000_000];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(if args[1] == "rayon" { threads } else { 1 }).build().unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(if args[1] == "tokio" { threads } else { 1 }).build().unwrap();
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let is_right = match (args[1].as_str(), args[2].as_str()) {
            ("rayon", workload) => pool.install(|| rayon_run(workload, &mut numbers)),
            (_, workload) => {
                let workload = workload.to_string();
                rt.block_on(async { tokio::spawn(async move { async_run(&workload).await }).await.unwrap() })
            }
        };
        if !is_right {
            std::process::exit(1);
        }
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    println!("{:.4}", best / ops);
}
