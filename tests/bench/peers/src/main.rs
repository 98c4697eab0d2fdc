//! bench-peers -- other libraries do what `syncline bench` does, and print the same line of JSON.
//!
//!     bench-peers LIBRARY prepare TRACE DIR    replays the trace by one replica per agent and keeps
//!                                              in DIR: its messages, and the document as saved
//!     bench-peers LIBRARY WORK TRACE DIR       measures, from what DIR keeps
//!
//! CPU time of the process, as there; a work repeats for half a second, but at least once.  What is
//! taken apart afterwards (a document freed) is outside the clock, as there.
mod replica;
mod trace;

use replica::Replica;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::{env, fs, path::PathBuf, process::exit};
use trace::Trace;

const BUDGET_MS: f64 = 500.0;
const MAX_REPEATS: usize = 50;
/// A library that needs longer for all messages is stopped, and says how many it took.
const RELAY_MS: f64 = 10_000.0;
const MAP_CLIENTS: u64 = 1540;
const MANY_DOCS: usize = 10_000;
const MANY_EDITS: usize = 32;
const MANY_CHARS: usize = 32;

/// Counts what is held, as ours does by its allocator hook; only where that is asked.
struct Counting;
static COUNTS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicUsize = AtomicUsize::new(0);

fn count(more: usize, less: usize) {
    if COUNTS.load(Relaxed) {
        HELD.fetch_add(more.wrapping_sub(less), Relaxed);
    }
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        System.dealloc(ptr, layout)
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        System.realloc(ptr, layout, size)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> usize {
    HELD.load(Relaxed)
}

/// 0: this system does not say.
fn resident_bytes() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn cpu_ms() -> f64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    extern "C" {
        fn clock_gettime(clock: i32, out: *mut Timespec) -> i32;
    }
    const PROCESS_CPUTIME: i32 = 2;
    let mut t = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(PROCESS_CPUTIME, &mut t) };
    t.seconds as f64 * 1e3 + t.nanoseconds as f64 * 1e-6
}

struct Bench {
    library: String,
    name: String,
    dir: PathBuf,
    trace: Trace,
}

struct Outcome {
    bytes: usize,
    /// What it takes of the process's memory; 0: not looked at.
    rss: usize,
    /// Messages taken, of how many; else 1.
    count: usize,
    of: usize,
    /// The dearest single message, where each is looked at; else 0.
    worst_ms: f64,
    /// What measuring cost.
    extra_ms: f64,
}

impl Bench {
    fn path(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{}.{what}", self.name, self.library))
    }
    fn read(&self, what: &str) -> Vec<u8> {
        fs::read(self.path(what)).unwrap_or_else(|e| fail(&format!("prepare first: {e}")))
    }
    fn write(&self, what: &str, bytes: &[u8]) {
        fs::write(self.path(what), bytes).unwrap_or_else(|e| fail(&e.to_string()));
    }
    fn check(&self, text: &str) {
        if !self.trace.is_final(text) {
            fail(&format!("{}: another text than {} ends with", self.library, self.name));
        }
    }

    /// Repeats `work`; its result is dropped after the clock stopped.
    fn measure<R>(&self, work: &str, mut f: impl FnMut() -> (R, Outcome)) {
        let mut times = vec![];
        let mut outcome = whole(0);
        while times.len() < MAX_REPEATS && times.iter().sum::<f64>() < BUDGET_MS {
            let start = cpu_ms();
            let (result, this) = f();
            times.push(cpu_ms() - start - this.extra_ms);
            outcome = this;
            drop(result);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{{\"library\":\"{}\",\"work\":\"{work}\",\"trace\":\"{}\",\"ms\":{:.4},\
             \"min_ms\":{:.4},\"max_ms\":{:.4},\"bytes\":{},\"count\":{},\"of\":{},\"worst_ms\":{:.4},\"rss_bytes\":{}}}",
            self.library,
            self.name,
            times[times.len() / 2],
            times[0],
            times[times.len() - 1],
            outcome.bytes,
            outcome.count,
            outcome.of,
            outcome.worst_ms,
            outcome.rss
        );
    }
}

fn whole(bytes: usize) -> Outcome {
    Outcome { bytes, rss: 0, count: 1, of: 1, worst_ms: 0.0, extra_ms: 0.0 }
}

fn fail(why: &str) -> ! {
    eprintln!("bench-peers: {why}");
    exit(1);
}

/// Back to back, each behind its length.
fn join(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![];
    for message in messages {
        out.extend((message.len() as u32).to_le_bytes());
        out.extend(message);
    }
    out
}

fn cut(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = vec![];
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (message, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        out.push(message.to_vec());
        bytes = rest;
    }
    out
}

/// The txns of `heads` and before that a replica lacks, oldest first; it has them from now on.
fn missing(trace: &Trace, known: &mut [bool], heads: &[usize]) -> Vec<usize> {
    let mut out = vec![];
    let mut open = heads.to_vec();
    while let Some(txn) = open.pop() {
        if !std::mem::replace(&mut known[txn], true) {
            out.push(txn);
            open.extend(&trace.txns[txn].parents);
        }
    }
    out.sort_unstable();
    out
}

fn prepare<R: Replica>(bench: &Bench) {
    let trace = &bench.trace;
    let mut replicas: Vec<Option<(R, Vec<bool>)>> = (0..trace.agents).map(|_| None).collect();
    let mut messages: Vec<Vec<u8>> = vec![];
    let pick = |txns: Vec<usize>, messages: &[Vec<u8>]| {
        txns.into_iter().map(|t| messages[t].clone()).filter(|m| !m.is_empty()).collect::<Vec<_>>()
    };
    for (at, txn) in trace.txns.iter().enumerate() {
        let (replica, known) = replicas[txn.agent]
            .get_or_insert_with(|| (R::new(txn.agent as u64), vec![false; trace.txns.len()]));
        let news = pick(missing(trace, known, &txn.parents), &messages);
        if !news.is_empty() {
            replica.receive(&news);
        }
        let quiet = txn.patches.iter().all(|p| p.removed == 0 && p.text.is_empty());
        messages.push(if quiet { vec![] } else { replica.message(&txn.patches) });
        known[at] = true;
    }
    let last = trace.txns[trace.txns.len() - 1].agent;
    let (replica, known) = replicas[last].as_mut().unwrap_or_else(|| fail("no replica"));
    let rest = (0..messages.len()).filter(|&t| !known[t]).collect();
    let news = pick(rest, &messages);
    if !news.is_empty() {
        replica.receive(&news);
    }
    bench.check(&replica.text());
    bench.write("text", replica.text().as_bytes()); // its sha256 is compared by who has one
    messages.retain(|m| !m.is_empty());
    bench.write("messages", &join(&messages));
    for format in [R::FULL, R::STATE, R::MERGE] {
        let bytes = replica.save(format);
        bench.write(format, &bytes);
    }
}

fn local<R: Replica>(bench: &Bench) {
    if !bench.trace.linear {
        fail("local: only traces where nothing is concurrent");
    }
    let replay = || {
        let mut replica = R::new(1);
        bench.trace.txns.iter().flat_map(|t| &t.patches).for_each(|p| replica.edit(p));
        replica
    };
    let one = |replica| (replica, whole(bench.trace.final_len));
    bench.measure("local", || one(replay()));
}

/// Bytes to text, or to the first edit done.
fn open<R: Replica>(bench: &Bench, work: &str, format: &str, then_edit: bool) {
    let bytes = bench.read(format);
    let middle = trace::Patch { pos: bench.trace.final_len / 2, removed: 0, text: "x".into() };
    bench.check(&R::open(format, &bytes).text());
    bench.measure(work, || {
        let mut replica = R::open(format, &bytes);
        let text = if then_edit { None } else { Some(replica.text()) };
        if then_edit {
            replica.edit(&middle);
        }
        ((replica, text), whole(bytes.len()))
    });
}

/// What reading the clock once costs.
fn clock_cost() -> f64 {
    let start = cpu_ms();
    (0..1000).for_each(|_| { std::hint::black_box(cpu_ms()); });
    (cpu_ms() - start) / 1000.0
}

/// Every message by itself, in the order of the trace.  live: with a clock around each, for the
/// worst one; what the clock itself costs is taken off.
fn relay<R: Replica>(bench: &Bench, work: &str) {
    let messages = cut(&bench.read("messages"));
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let (live, idle) = (work == "live", clock_cost());
    bench.measure(work, || {
        let mut replica = R::new(1 << 40);
        let start = cpu_ms();
        let (mut count, mut before, mut worst_ms) = (0, start, 0.0f64);
        for message in messages.chunks(1) {
            replica.receive(message);
            count += 1;
            if live {
                let now = cpu_ms();
                worst_ms = worst_ms.max(now - before - idle);
                before = now;
            }
            if count % 256 == 0 && cpu_ms() - start > RELAY_MS {
                break;
            }
        }
        let extra_ms = if live { idle * count as f64 } else { 0.0 };
        (replica, Outcome { count, of: messages.len(), worst_ms, extra_ms, ..whole(bytes) })
    });
}

/// Many clients set one key at once; each message by itself.
fn map<R: Replica>(bench: &Bench) {
    let set = |id: u64| R::new(id).set_key(id as i64).unwrap_or_else(|| fail("it has no maps"));
    let messages: Vec<_> = (1..=MAP_CLIENTS).map(set).collect();
    let bytes = messages.iter().map(Vec::len).sum();
    bench.measure("map", || {
        let mut replica = R::new(1 << 40);
        messages.chunks(1).for_each(|m| replica.receive(m));
        (replica, whole(bytes))
    });
}

/// Small documents of two writers in turns, opened from their bytes, one edit each; what one holds.
fn many<R: Replica>(bench: &Bench) {
    let words: String = (0..MANY_CHARS).map(|i| (b'a' + (i % 26) as u8) as char).collect();
    let mut writers = [R::new(1), R::new(2)];
    for at in 0..MANY_EDITS {
        let patch = trace::Patch { pos: at * MANY_CHARS, removed: 0, text: words.clone() };
        let message = writers[at % 2].message(&[patch]);
        writers[1 - at % 2].receive(&[message]);
    }
    let bytes = writers[0].save(R::FULL);
    let middle = trace::Patch { pos: MANY_EDITS * MANY_CHARS / 2, removed: 0, text: "x".into() };
    COUNTS.store(true, Relaxed); // what was made before is freed after the last count
    let mut first = None; // later runs reuse what the first one freed
    bench.measure("many", || {
        let (heap, resident) = (held(), resident_bytes());
        let open = |_| {
            let mut replica = R::open(R::FULL, &bytes);
            replica.edit(&middle);
            replica
        };
        let documents: Vec<R> = (0..MANY_DOCS).map(open).collect();
        let (heap, resident) = (held().wrapping_sub(heap), resident_bytes().saturating_sub(resident));
        let rss = *first.get_or_insert(resident / MANY_DOCS);
        (documents, Outcome { rss, ..whole(heap / MANY_DOCS) })
    });
}

/// The sizes; what is measured is the saving.
fn save<R: Replica>(bench: &Bench, work: &str, format: &str) {
    let mut replica = R::open(R::FULL, &bench.read(R::FULL));
    bench.measure(work, || {
        let bytes = replica.save(format);
        let len = bytes.len();
        (bytes, whole(len))
    });
}

fn run<R: Replica>(bench: &Bench, work: &str) {
    match work {
        "prepare" => prepare::<R>(bench),
        "local" => local::<R>(bench),
        "load" => open::<R>(bench, work, R::STATE, false),
        "ready" => open::<R>(bench, work, R::STATE, true),
        "file" => open::<R>(bench, work, R::FULL, false),
        "merge" => open::<R>(bench, work, R::MERGE, false),
        "encode" => save::<R>(bench, work, R::FULL),
        "relay" | "live" => relay::<R>(bench, work),
        "many" => many::<R>(bench),
        "map" => map::<R>(bench),
        _ => fail("work: prepare, local, load, ready, file, merge, encode, relay, live, map, many"),
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [library, work, path, dir] = args.as_slice() else {
        fail("usage: bench-peers LIBRARY WORK TRACE DIR");
    };
    let source = fs::read_to_string(path).unwrap_or_else(|e| fail(&format!("{path}: {e}")));
    let trace = Trace::parse(&source).unwrap_or_else(|e| fail(&format!("{path}: {e}")));
    let stem = PathBuf::from(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bench = Bench { library: library.clone(), name: stem, dir: dir.into(), trace };
    match library.as_str() {
        "diamond-types" => run::<replica::diamond::Doc>(&bench, work),
        "yrs" => run::<replica::yjs::Doc>(&bench, work),
        "loro" => run::<replica::loro::Doc>(&bench, work),
        "automerge" => run::<replica::automerge::Doc>(&bench, work),
        _ => fail("library: diamond-types, yrs, loro, automerge"),
    }
}
