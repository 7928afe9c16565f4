// file.rs: the files of files.h on Tokio: it has no reads at an offset, so as one does: pread where it may block.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BLOCK: usize = 4096;
const COPY: usize = 1 << 20;
const O_DIRECT: i32 = 0o40000; // of x86-64
const SEED: u64 = 88172645463325252;

fn cpu_us() -> f64 {
    // stat counts in hundredths of a second; schedstat exactly, a thread at a time
    let mut ns = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        ns += text.split(' ').next().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    }
    ns / 1e3
}

async fn read_some(file: Arc<File>, blocks: u64, mut random: u64, end: Instant) -> u64 {
    let mut buffer = vec![0u8; 2 * BLOCK];
    let mut reads = 0;
    while Instant::now() < end {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (file, block) = (file.clone(), random % blocks);
        buffer = tokio::task::spawn_blocking(move || {
            let at = buffer.as_ptr().align_offset(BLOCK);
            file.read_exact_at(&mut buffer[at..at + BLOCK], block * BLOCK as u64).unwrap();
            assert_eq!(u64::from_ne_bytes(buffer[at..at + 8].try_into().unwrap()), block);
            buffer
        })
        .await
        .unwrap();
        reads += 1;
    }
    reads
}

pub async fn read_all(name: &str, depth: u64, seconds: f64, direct: bool) {
    let flags = if direct { O_DIRECT } else { 0 };
    let file = Arc::new(OpenOptions::new().read(true).custom_flags(flags).open(name).unwrap());
    let blocks = file.metadata().unwrap().len() / BLOCK as u64;
    let (start, cpu) = (Instant::now(), cpu_us());
    let end = start + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..depth)
        .map(|i| tokio::spawn(read_some(file.clone(), blocks, SEED ^ (i << 32), end)))
        .collect();
    let mut reads = 0;
    for task in tasks {
        reads += task.await.unwrap();
    }
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
    println!("cpu_us={:.4} requests_s={:.1}", cpu / reads as f64, reads as f64 / elapsed);
}

pub async fn copy_all(from: &str, to: &str) {
    let mut from = tokio::fs::File::open(from).await.unwrap();
    let mut to = tokio::fs::File::create(to).await.unwrap();
    let start = Instant::now();
    let mut buffer = vec![0u8; COPY];
    let mut bytes = 0;
    loop {
        let n = from.read(&mut buffer).await.unwrap();
        if n == 0 {
            break; // the end of the file
        }
        to.write_all(&buffer[..n]).await.unwrap();
        bytes += n;
    }
    to.flush().await.unwrap();
    println!("bytes_s={:.0}", bytes as f64 / start.elapsed().as_secs_f64());
}
