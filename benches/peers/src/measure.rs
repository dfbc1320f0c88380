//! What the kernel and the tools say about a process: processor time, memory, context switches, system calls,
//! instructions. Also the small things every process here needs: pinning, limits, percentiles.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

// ---------------------------------------------------------------------------------------------- processors

/// The processors this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: `set` is a plain bit set that the kernel fills; its size is passed along.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// Pins the calling thread (and the threads and children it starts later) to one processor.
pub fn pin_to(cpu: usize) {
    // SAFETY: as above; a failure leaves the affinity as it was, which the report then shows as noise.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_nofile() -> u64 {
    // SAFETY: plain calls on a local struct.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        limit.rlim_cur
    }
}

/// Asks the kernel to kill this process when its parent dies, so that an aborted run leaves nothing behind.
pub fn die_with_parent() {
    // SAFETY: no memory is involved.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

// ------------------------------------------------------------------------------------------ processor time

fn clock_ns(clock: libc::clockid_t) -> u64 {
    // SAFETY: `ts` is written by the kernel.
    unsafe {
        let mut ts: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(clock, &mut ts);
        ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
    }
}

/// Processor time (user and system) of all threads of this process, io_uring's kernel workers included.
pub fn own_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The same for another process, in nanoseconds (`/proc/<pid>/stat` would only give ticks of 10 ms).
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    // SAFETY: `clock` is written by the call.
    unsafe {
        let mut clock: libc::clockid_t = 0;
        match libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) {
            0 => Ok(clock_ns(clock)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// User and system ticks of a process (10 ms each): only good for telling the two apart over a longer run.
pub fn process_ticks(pid: u32) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((rest.get(11)?.parse().ok()?, rest.get(12)?.parse().ok()?))
}

// -------------------------------------------------------------------------------------------------- memory

/// Kilobytes of a process's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub rss_kb: f64,
    pub pss_kb: f64,
    pub private_dirty_kb: f64,
}

pub fn memory(pid: u32) -> io::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Ok(Memory { rss_kb: field("Rss:"), pss_kb: field("Pss:"), private_dirty_kb: field("Private_Dirty:") })
}

/// Voluntary context switches of all threads of a process: how often it went to sleep and was woken.
pub fn voluntary_switches(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
        sum += status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

// ---------------------------------------------------------------------------------------------- allocations

/// Counts allocations while [`count_allocations`] runs; otherwise one predictable branch over `System`.
pub struct CountingAllocator;

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicI64 = AtomicI64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call goes to `System` unchanged; the counters are atomics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            CALLS.fetch_add(1, Relaxed);
            LIVE_BYTES.fetch_add(layout.size() as i64, Relaxed);
        }
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if COUNTING.load(Relaxed) {
            LIVE_BYTES.fetch_sub(layout.size() as i64, Relaxed);
        }
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            CALLS.fetch_add(1, Relaxed);
            LIVE_BYTES.fetch_add(new_size as i64 - layout.size() as i64, Relaxed);
        }
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Counts what is allocated between `start` and `stop`, on every thread.
#[derive(Clone, Copy, Debug)]
pub struct Allocations {
    /// Calls to alloc and realloc.
    pub calls: i64,
    /// Bytes allocated and not yet freed.
    pub live_bytes: i64,
}

pub fn start_counting_allocations() {
    CALLS.store(0, Relaxed);
    LIVE_BYTES.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
}

pub fn stop_counting_allocations() -> Allocations {
    COUNTING.store(false, Relaxed);
    Allocations { calls: CALLS.load(Relaxed), live_bytes: LIVE_BYTES.load(Relaxed) }
}

// ------------------------------------------------------------------------------------------------ statistics

/// The value at `share` (0.5 is the median) of the values; 0 for none.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The median; between the two middle ones for an even number.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

// ----------------------------------------------------------------------------------------------- child processes

/// Makes `command`'s process die with this one, even where it is `strace` or `valgrind`.
pub fn tie_to_parent(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    // SAFETY: prctl is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            die_with_parent();
            Ok(())
        })
    }
}

/// Reads a pipe to its end, or until `limit` has passed. Waits in `poll`, so it costs the machine nothing.
pub fn read_to_end_within(pipe: &mut (impl Read + std::os::fd::AsRawFd), limit: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + limit;
    let mut all = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        wait_readable(pipe, end)?;
        match pipe.read(&mut chunk)? {
            0 => return Ok(all),
            n => all.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Reads one line, byte by byte (so that nothing behind it is lost), or fails after `limit`.
pub fn read_line_within(pipe: &mut (impl Read + std::os::fd::AsRawFd), limit: Duration) -> io::Result<String> {
    let end = Instant::now() + limit;
    let mut line = Vec::new();
    loop {
        wait_readable(pipe, end)?;
        let mut byte = [0];
        match pipe.read(&mut byte)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the process ended without an answer")),
            _ if byte[0] == b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => line.push(byte[0]),
        }
    }
}

fn wait_readable(pipe: &impl std::os::fd::AsRawFd, end: Instant) -> io::Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_millis() as i32;
        let mut entry = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        match unsafe { libc::poll(&mut entry, 1, left) } {
            0 => return Err(io::Error::new(io::ErrorKind::TimedOut, "timed out")),
            n if n > 0 => return Ok(()),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

pub fn signal(pid: u32, signal: i32) {
    // SAFETY: `pid` is a child of ours that has not been waited for.
    unsafe {
        libc::kill(pid as libc::pid_t, signal);
    }
}

pub fn have(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
}

// ---------------------------------------------------------------------------------------------- system calls

/// Counts of system calls by name, as `strace -c` prints them.
#[derive(Clone, Debug, Default)]
pub struct SystemCalls(pub Vec<(String, f64)>);

impl SystemCalls {
    pub fn parse(summary: &str) -> SystemCalls {
        // % time     seconds  usecs/call     calls    errors syscall   (errors may be blank)
        let calls = summary.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = *words.last()?;
            let is_row = words.len() >= 5 && words[0].parse::<f64>().is_ok() && name != "total";
            is_row.then(|| words[3].parse::<f64>().ok()).flatten().map(|count| (name.to_owned(), count))
        });
        SystemCalls(calls.collect())
    }

    pub fn total(&self) -> f64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// `self - earlier`, name by name.
    pub fn minus(&self, earlier: &SystemCalls) -> SystemCalls {
        let before = |name: &str| earlier.0.iter().find(|(n, _)| n == name).map_or(0.0, |(_, count)| *count);
        SystemCalls(self.0.iter().map(|(name, count)| (name.clone(), count - before(name))).collect())
    }

    /// The names that matter, a unit of work each: `read 1.00, write 1.00, epoll_wait 0.03`.
    pub fn per(&self, units: f64) -> String {
        let mut rows: Vec<(String, f64)> = self.0.iter().map(|(n, c)| (n.clone(), c / units)).collect();
        rows.retain(|(_, count)| *count >= 0.005);
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        rows.iter().take(5).map(|(n, c)| format!("{n} {c:.2}")).collect::<Vec<_>>().join(", ")
    }
}

/// `strace -c -f` attached to a running process.
pub struct Strace {
    child: Child,
    summary: std::path::PathBuf,
}

impl Strace {
    pub fn attach(pid: u32) -> Result<Strace, String> {
        if !have("strace") {
            return Err("strace is not installed".into());
        }
        let summary = std::env::temp_dir().join(format!("peers-strace-{}-{pid}", std::process::id()));
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-U", "time-percent,total-time,avg-time,calls,errors,name", "-o"]);
        command.arg(&summary).args(["-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = tie_to_parent(&mut command).spawn().map_err(|e| format!("strace: {e}"))?;
        let mut stderr = child.stderr.take().expect("piped");
        // "strace: Process 123 attached" (with -f, one more line a thread).
        let line = read_line_within(&mut stderr, Duration::from_secs(10)).unwrap_or_default();
        if !line.contains("attached") {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("strace could not attach: {line}"));
        }
        std::thread::spawn(move || BufReader::new(stderr).lines().for_each(drop));
        std::thread::sleep(Duration::from_millis(200));
        Ok(Strace { child, summary })
    }

    pub fn detach(mut self) -> Result<SystemCalls, String> {
        signal(self.child.id(), libc::SIGINT);
        self.child.wait().map_err(|e| e.to_string())?;
        let text = std::fs::read_to_string(&self.summary).map_err(|e| format!("strace's summary: {e}"))?;
        let _ = std::fs::remove_file(&self.summary);
        Ok(SystemCalls::parse(&text))
    }
}

// ------------------------------------------------------------------------------------------------ instructions

/// Which tool counts user-space instructions here: the processor's counters, else valgrind's interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionTool {
    Perf,
    Callgrind,
}

pub fn instruction_tool() -> Result<InstructionTool, String> {
    if have("perf") {
        let probe = Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "true"]).output();
        let counted = probe.is_ok_and(|out| {
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            text.split(',').next().is_some_and(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 0))
        });
        if counted {
            return Ok(InstructionTool::Perf);
        }
    }
    match have("valgrind") {
        true => Ok(InstructionTool::Callgrind),
        false => Err("neither perf counters nor valgrind are here".into()),
    }
}

/// `perf stat -e instructions:u` attached to a running process.
pub struct Perf(Child);

impl Perf {
    pub fn attach(pid: u32) -> Result<Perf, String> {
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", "instructions:u", "-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = tie_to_parent(&mut command).spawn().map_err(|e| format!("perf: {e}"))?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(Perf(child))
    }

    pub fn detach(mut self) -> Result<f64, String> {
        signal(self.0.id(), libc::SIGINT);
        let mut stderr = self.0.stderr.take().expect("piped");
        let text = read_to_end_within(&mut stderr, Duration::from_secs(10)).map_err(|e| e.to_string())?;
        let _ = self.0.wait();
        let text = String::from_utf8_lossy(&text);
        let count = text.split(',').next().and_then(|n| n.trim().parse::<f64>().ok());
        count.ok_or_else(|| format!("perf said: {}", text.trim()))
    }
}

/// The `Collected : N` at the end of callgrind's report.
pub fn parse_callgrind(report: &str) -> Option<f64> {
    report.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_summary_with_and_without_errors() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                     50.00    0.000020          10         2           read\n\
                     50.00    0.000020           5         4         1 write\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.000040           6         6         1 total\n";
        let calls = SystemCalls::parse(text);
        assert_eq!(calls.0, [("read".to_owned(), 2.0), ("write".to_owned(), 4.0)]);
        assert_eq!(calls.total(), 6.0);
        assert_eq!(calls.per(2.0), "write 2.00, read 1.00");
    }

    #[test]
    fn percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(percentile(&mut [5.0, 1.0, 3.0], 0.5), 3.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
