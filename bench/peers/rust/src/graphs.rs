//! The workloads metg-* on rayon: see ../../graphs.h, whose names are used here. A counter for each node of what it waits
//! for; whoever brings it to zero spawns it, or goes on with the node itself if it has no other to go on with.
use crate::uts_child;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

const WIDTH: usize = 16;
const STEPS: usize = 250;
const NODES: usize = WIDTH * STEPS;
const TURNS_MAX: u64 = 1 << 16;
const RUNS: usize = 5;

const SUMS: [(&str, u64); 5] = [
    ("metg-trivial", 0xac43a453a34ed29f),
    ("metg-stencil", 0x4b16c122a7e29919),
    ("metg-fft", 0xb874fbec24655276),
    ("metg-tree", 0xd8199c2d5a58a15a),
    ("metg-random", 0x39c3c5c65c56f99c),
];

/// `value` is written once, before those that read it are started: relaxed, which is a plain access.
#[derive(Default)]
struct Node {
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    missing: AtomicU32,
    value: AtomicU64,
}

struct Graph {
    nodes: Vec<Node>,
    turns: u64,
}

fn needs(name: &str, step: usize, from: usize, to: usize) -> bool {
    let distance = from.abs_diff(to);
    match name {
        "metg-stencil" => distance <= 1,
        "metg-fft" => distance == 0 || distance == 1 << ((step - 1) % 4),
        "metg-tree" => from == to / 2,
        "metg-random" => distance == 0 || (distance <= 2 && uts_child(((step * WIDTH + from) * WIDTH + to) as u64, 0) % 2 == 0),
        _ => false,
    }
}

#[inline(never)]
fn turn(mut x: u64, turns: u64) -> u64 {
    for _ in 0..turns {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    }
    x
}

impl Graph {
    fn new(name: &str) -> Self {
        let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::default()).collect();
        for node in WIDTH..NODES {
            let (step, to) = (node / WIDTH, node % WIDTH);
            for from in (0..WIDTH).filter(|&from| needs(name, step, from, to)) {
                let before = (step - 1) * WIDTH + from;
                nodes[node].inputs.push(before);
                nodes[before].outputs.push(node);
            }
        }
        Graph { nodes, turns: 1 }
    }

    fn work(&self, node: usize) {
        let n = &self.nodes[node];
        let inputs = n.inputs.iter().map(|&input| self.nodes[input].value.load(Ordering::Relaxed));
        let x = uts_child(inputs.fold(node as u64, u64::wrapping_add), 0);
        n.value.store(x + (turn(x, self.turns) == 0) as u64, Ordering::Relaxed);
    }

    fn run_from<'a>(&'a self, s: &rayon::Scope<'a>, mut node: usize) {
        loop {
            self.work(node);
            let mut next = None;
            for &output in &self.nodes[node].outputs {
                if self.nodes[output].missing.fetch_sub(1, Ordering::AcqRel) != 1 {
                    continue;
                }
                if next.is_none() {
                    next = Some(output);
                } else {
                    s.spawn(move |s| self.run_from(s, output));
                }
            }
            match next {
                Some(output) => node = output,
                None => return,
            }
        }
    }

    fn prepare(&self) {
        for n in &self.nodes {
            n.value.store(0, Ordering::Relaxed);
            n.missing.store(n.inputs.len() as u32, Ordering::Relaxed);
        }
    }

    fn run(&self) {
        rayon::scope(|s| {
            for node in (0..NODES).filter(|&node| self.nodes[node].inputs.is_empty()) {
                s.spawn(move |s| self.run_from(s, node));
            }
        });
    }

    fn sum(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, n| sum.wrapping_add(n.value.load(Ordering::Relaxed)))
    }
}

fn time_turn(seed: u64) -> f64 {
    let start = Instant::now();
    std::hint::black_box(turn(std::hint::black_box(seed), 1 << 14));
    start.elapsed().as_nanos() as f64 / (1 << 14) as f64
}

pub fn is_graph(name: &str) -> bool {
    SUMS.iter().any(|(known, _)| *known == name)
}

/// Prints METG, as graph_measure does; the exit code.
pub fn measure(name: &str, threads: usize) -> i32 {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let want = SUMS.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut g = Graph::new(name);
    let (mut turn_ns, mut grain_before, mut efficiency_before) = (f64::MAX, 0.0, 0.0);
    while g.turns <= TURNS_MAX {
        let mut best = f64::MAX;
        for _ in 0..RUNS {
            turn_ns = time_turn(g.turns).min(turn_ns);
            g.prepare();
            let took = pool.install(|| {
                let start = Instant::now();
                g.run();
                start.elapsed().as_nanos() as f64
            });
            if g.sum() != want {
                return 1;
            }
            best = took.min(best);
        }
        let grain = best * threads as f64 / NODES as f64;
        let efficiency = g.turns as f64 * turn_ns / grain;
        if efficiency >= 0.5 {
            let part = (0.5 - efficiency_before) / (efficiency - efficiency_before);
            println!("{:.4}", grain_before + part * (grain - grain_before));
            return 0;
        }
        (grain_before, efficiency_before) = (grain, efficiency);
        g.turns *= 2;
    }
    2
}
