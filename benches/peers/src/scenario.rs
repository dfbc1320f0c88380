//! The scenarios: which figures each shows, and how the parent gets them from one child process.

use crate::contenders::Contender;
use crate::http;
use crate::job::{Answer, Protocol};
use crate::load::{self, Load, Shape};
use crate::measure::{self, InstructionTool, Perf, Strace, SystemCalls};
use crate::place::Transport;
use crate::plan::{Metric, Plan, above, plain, ratio};
use crate::process::{Server, buffer_for, last_answer, reason, with_server};
use std::io::Write;
use std::time::{Duration, Instant};

pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub metrics: &'static [Metric],
    kind: Kind,
}

enum Kind {
    /// A child that measures itself.
    Child,
    /// Processor time of the server under load.
    Echo(Transport, Shape),
    /// Connections that bring one byte each.
    Accept,
    EchoInstructions(Shape),
    EchoSystemCalls(Shape),
    SleepSystemCalls,
    SleepBusy(Shape),
    Idle(usize),
    /// hyper under others' load generators.
    Http(Protocol),
}

const ECHO: &[Metric] = &[
    ratio("cpu_ns", "cpu ns/msg"),
    plain("user_ns", "~user"),
    plain("system_ns", "~system"),
    ratio("messages_per_s", "msgs/s"),
    plain("busy", "server busy"),
];

const ECHO_LARGE: &[Metric] = &[
    ratio("cpu_ns", "cpu ns/msg"),
    ratio("cpu_ps_a_byte", "cpu ps/byte"),
    ratio("mib_per_s", "MiB/s"),
    plain("busy", "server busy"),
];

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "echo-64",
        title: "echo of 64 B, 64 connections, 1 in flight each: processor time of the server a message",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Tcp, Shape { connections: 64, message: 64, depth: 1 }),
    },
    Scenario {
        name: "echo-1000",
        title: "echo of 64 B, 1,000 connections, 1 in flight each",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Tcp, Shape { connections: 1000, message: 64, depth: 1 }),
    },
    Scenario {
        name: "echo-pipelined",
        title: "echo of 64 B, 64 connections, batches of 16 in flight each",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Tcp, Shape { connections: 64, message: 64, depth: 16 }),
    },
    Scenario {
        name: "echo-16k",
        title: "echo of 16 KiB, 64 connections, 1 in flight each",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Tcp, Shape { connections: 64, message: 16 * 1024, depth: 1 }),
    },
    Scenario {
        name: "echo-1m",
        title: "echo of 1 MiB, 4 connections, 1 in flight each",
        metrics: ECHO_LARGE,
        kind: Kind::Echo(Transport::Tcp, Shape { connections: 4, message: 1024 * 1024, depth: 1 }),
    },
    Scenario {
        name: "unix",
        title: "echo of 64 B over Unix sockets, 64 connections, 1 in flight each",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Unix, Shape { connections: 64, message: 64, depth: 1 }),
    },
    Scenario {
        name: "udp",
        title: "UDP ping-pong of 64 B: 64 clients of one socket, 1 datagram in flight each",
        metrics: ECHO,
        kind: Kind::Echo(Transport::Udp, Shape { connections: 64, message: 64, depth: 1 }),
    },
    Scenario {
        name: "accept",
        title: "one connection after another: connect, one byte there and back, close",
        metrics: &[
            ratio("cpu_ns", "cpu ns/connection"),
            ratio("connections_per_s", "connections/s"),
            plain("busy", "server busy"),
        ],
        kind: Kind::Accept,
    },
    Scenario {
        name: "echo-instructions",
        title: "user-space instructions of the server a message (64 B, 64 connections; perf, else callgrind)",
        metrics: &[ratio("instructions", "instructions/msg")],
        kind: Kind::EchoInstructions(Shape { connections: 64, message: 64, depth: 1 }),
    },
    Scenario {
        name: "echo-syscalls",
        title: "system calls of the server a message (strace; 64 B, 64 connections)",
        metrics: &[ratio("syscalls", "syscalls/msg")],
        kind: Kind::EchoSystemCalls(Shape { connections: 64, message: 64, depth: 1 }),
    },
    Scenario {
        name: "spawn",
        title: "spawn and await a trivial task: one at a time, and 10,000 spawned and then awaited",
        metrics: &[ratio("one_ns", "one, ns/task"), ratio("batch_ns", "10,000, ns/task")],
        kind: Kind::Child,
    },
    Scenario {
        name: "yield",
        title: "yield with 1 and with 1,000 tasks; two tasks waking each other through an Rc<Cell<Waker>>",
        metrics: &[
            ratio("yield_1_ns", "1 task, ns/yield"),
            ratio("yield_1000_ns", "1,000, ns/yield"),
            ratio("ping_pong_ns", "ping-pong, ns/trip"),
        ],
        kind: Kind::Child,
    },
    Scenario {
        name: "wake",
        title: "another thread wakes the parked loop: from the call of wake() to the task running",
        metrics: &[
            ratio("latency_p50", "median us"),
            ratio("latency_p99", "p99 us"),
            plain("call_p50", "the call itself, us"),
        ],
        kind: Kind::Child,
    },
    Scenario {
        name: "pair",
        title: "two loops on two threads: there and back by wakers; a task spawned there and awaited; 1,000 at once",
        metrics: &[
            ratio("trip_p50", "trip p50 us"),
            ratio("trip_p99", "trip p99 us"),
            ratio("spawn_p50", "spawn p50 us"),
            ratio("burst_ns", "1,000, ns/spawn"),
        ],
        kind: Kind::Child,
    },
    Scenario {
        name: "task-bytes",
        title: "what a task holds that waits for ever: the first 10^5, and 10^5 more",
        metrics: &[ratio("bytes", "bytes"), plain("allocations", "allocations"), ratio("bytes_again", "bytes, more")],
        kind: Kind::Child,
    },
    Scenario {
        name: "timer-create",
        title: "create, poll once and drop a sleep of 1 h beside other pending sleeps; move one; what one holds",
        metrics: &[
            ratio("create_0_ns", "alone, ns"),
            ratio("create_10k_ns", "beside 10^4, ns"),
            ratio("create_1m_ns", "beside 10^6, ns"),
            ratio("reset_ns", "reset, ns"),
            plain("allocations", "allocations"),
            ratio("bytes", "bytes each"),
        ],
        kind: Kind::Child,
    },
    Scenario {
        name: "timer-storm",
        title: "10^5 tasks, a sleep each, ending over 1 s: processor time a timer (all of it; from the moment that \
                all sleep) and lateness",
        metrics: &[
            ratio("total_ns", "total ns/timer"),
            ratio("fire_ns", "firing ns/timer"),
            ratio("late_p50", "late p50 us"),
            ratio("late_p99", "late p99 us"),
        ],
        kind: Kind::Child,
    },
    Scenario {
        name: "sleep",
        title: "lateness of one sleep after another on an idle loop, us",
        metrics: LATENESS,
        kind: Kind::Child,
    },
    Scenario {
        name: "sleep-syscalls",
        title: "system calls a sleep of 1 ms on an idle loop (strace)",
        metrics: &[ratio("syscalls", "syscalls/sleep")],
        kind: Kind::SleepSystemCalls,
    },
    Scenario {
        name: "sleep-busy",
        title: "lateness of one sleep after another beside 100 busy echo connections on the same loop, us",
        metrics: LATENESS_BUSY,
        kind: Kind::SleepBusy(Shape { connections: 100, message: 64, depth: 1 }),
    },
    Scenario {
        name: "idle",
        title: "5,000 idle connections: memory a connection, and how often the process wakes in 2 s",
        metrics: &[
            above("private_dirty", "dirty B/conn"),
            above("pss", "PSS B/conn"),
            plain("rss", "RSS B/conn"),
            plain("base_kb", "base PSS KiB"),
            plain("wakeups", "wake-ups in 2 s"),
        ],
        kind: Kind::Idle(5000),
    },
    Scenario {
        name: "http-1",
        title: "hyper's hello world over HTTP/1.1: 64 connections under wrk",
        metrics: http::METRICS,
        kind: Kind::Http(Protocol::One),
    },
    Scenario {
        name: "http-2",
        title: "hyper's hello world over HTTP/2: 16 connections of 16 streams under h2load",
        metrics: http::METRICS,
        kind: Kind::Http(Protocol::Two),
    },
];

const LATENESS: &[Metric] = &[
    ratio("50us_p50", "50us p50"),
    ratio("200us_p50", "200us p50"),
    ratio("1ms_p50", "1ms p50"),
    ratio("10ms_p50", "10ms p50"),
    ratio("50us_p99", "50us p99"),
    ratio("200us_p99", "200us p99"),
    ratio("1ms_p99", "1ms p99"),
    ratio("10ms_p99", "10ms p99"),
];

const LATENESS_BUSY: &[Metric] = &[
    ratio("50us_p50", "50us p50"),
    ratio("200us_p50", "200us p50"),
    ratio("1ms_p50", "1ms p50"),
    ratio("10ms_p50", "10ms p50"),
    ratio("50us_p99", "50us p99"),
    ratio("200us_p99", "200us p99"),
    ratio("1ms_p99", "1ms p99"),
    ratio("10ms_p99", "10ms p99"),
    ratio("messages_per_s", "msgs/s"),
];

// ------------------------------------------------------------------------------------------------- how to run

impl Scenario {
    /// Once, in a fresh process.
    pub fn measure(&self, contender: &Contender, plan: &Plan) -> Result<Answer, String> {
        match self.kind {
            Kind::Child => {
                let mut command = plan.child(self.name, contender, None, &[]);
                last_answer(&mut command, Duration::from_secs(180))
            }
            Kind::Echo(transport, shape) => echo(contender, plan, transport, shape),
            Kind::Accept => accept(contender, plan),
            Kind::EchoInstructions(shape) => echo_instructions(contender, plan, shape),
            Kind::EchoSystemCalls(shape) => echo_system_calls(contender, plan, shape),
            Kind::SleepSystemCalls => sleep_system_calls(contender, plan),
            Kind::SleepBusy(shape) => sleep_busy(contender, plan, shape),
            Kind::Idle(connections) => idle(contender, plan, connections),
            Kind::Http(protocol) => http::measure(contender, plan, protocol),
        }
    }

    /// Counts do not wander from round to round: one round is enough.
    pub fn rounds(&self, asked: usize) -> usize {
        match self.kind {
            Kind::EchoInstructions(_) | Kind::EchoSystemCalls(_) | Kind::SleepSystemCalls => 1,
            _ => asked,
        }
    }
}

// ------------------------------------------------------------------------------------------------ under load

fn load_time(plan: &Plan) -> Duration {
    Duration::from_millis(if plan.quick { 500 } else { 3000 })
}

fn echo(contender: &Contender, plan: &Plan, transport: Transport, shape: Shape) -> Result<Answer, String> {
    let buffer = buffer_for(shape);
    let run = |server: &mut Server| {
        let mut load = Load::connect(&server.place, shape)?;
        let time = load_time(plan);
        load.start()?;
        load.run_for(time / 5)?;
        let ticks_before = measure::process_ticks(server.pid()).unwrap_or_default();
        let (start, cpu_before) = (Instant::now(), server.cpu_ns()?);
        let messages = load.run_for(time)? as f64;
        let cpu_ns = (server.cpu_ns()? - cpu_before) as f64;
        let elapsed = start.elapsed().as_nanos() as f64;
        let ticks = measure::process_ticks(server.pid()).unwrap_or_default();
        let (user, system) = ((ticks.0 - ticks_before.0) as f64, (ticks.1 - ticks_before.1) as f64);
        load.drain()?;
        let mut answer = Answer::new(server.detail.clone());
        answer.put("cpu_ns", cpu_ns / messages);
        if user + system > 0.0 {
            answer.put("user_ns", cpu_ns / messages * user / (user + system));
            answer.put("system_ns", cpu_ns / messages * system / (user + system));
        }
        answer.put("messages_per_s", messages / elapsed * 1e9);
        answer.put("cpu_ps_a_byte", cpu_ns * 1e3 / (messages * shape.message as f64));
        answer.put("mib_per_s", messages * shape.message as f64 / (1024.0 * 1024.0) / elapsed * 1e9);
        answer.put("busy", cpu_ns / elapsed);
        Ok(answer)
    };
    let more = ["--buffer", &buffer, "--transport", transport.name()];
    with_server(contender, plan, None, &more, run).map(|(answer, _)| answer)
}

fn accept(contender: &Contender, plan: &Plan) -> Result<Answer, String> {
    let run = |server: &mut Server| {
        let address = server.place.tcp()?;
        let time = load_time(plan);
        load::connect_and_close(address, time / 5)?;
        let (start, cpu_before) = (Instant::now(), server.cpu_ns()?);
        let connections = load::connect_and_close(address, time)? as f64;
        let cpu_ns = (server.cpu_ns()? - cpu_before) as f64;
        let elapsed = start.elapsed().as_nanos() as f64;
        let mut answer = Answer::new(server.detail.clone());
        answer.put("cpu_ns", cpu_ns / connections);
        answer.put("connections_per_s", connections / elapsed * 1e9);
        answer.put("busy", cpu_ns / elapsed);
        Ok(answer)
    };
    with_server(contender, plan, None, &["--buffer", "4096"], run).map(|(answer, _)| answer)
}

fn echo_instructions(contender: &Contender, plan: &Plan, shape: Shape) -> Result<Answer, String> {
    let buffer = buffer_for(shape);
    let more = ["--buffer", &buffer];
    match measure::instruction_tool()? {
        InstructionTool::Perf => {
            let run = |server: &mut Server| {
                let mut load = Load::connect(&server.place, shape)?;
                load.run_batches(20)?;
                let perf = Perf::attach(server.pid())?;
                let messages = load.run_batches(if plan.quick { 200 } else { 2000 })? as f64;
                let mut answer = Answer::new(server.detail.clone());
                answer.put("instructions", perf.detach()? / messages);
                Ok(answer)
            };
            with_server(contender, plan, None, &more, run).map(|(answer, _)| answer)
        }
        InstructionTool::Callgrind => {
            // Two whole runs of the server under the interpreter; their difference is the messages alone.
            let valgrind: &[&str] = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
            let exit_at = (shape.connections + 1).to_string();
            let more = [more[0], more[1], "--exit-at", &exit_at];
            let total = |batches: usize| -> Result<(f64, f64, String), String> {
                let run = |server: &mut Server| {
                    let mut load = Load::connect(&server.place, shape)?;
                    Ok(load.run_batches(batches)? as f64)
                };
                let (messages, server) = with_server(contender, plan, Some(valgrind), &more, run)?;
                let detail = server.detail.clone();
                let report = server.end_with_connection();
                let count =
                    measure::parse_callgrind(&report).ok_or_else(|| reason("callgrind gave no count", &report))?;
                Ok((messages, count, detail))
            };
            let (few, few_count, _) = total(20)?;
            let (many, many_count, detail) = total(if plan.quick { 120 } else { 520 })?;
            let mut answer = Answer::new(detail);
            answer.put("instructions", (many_count - few_count) / (many - few));
            Ok(answer)
        }
    }
}

fn echo_system_calls(contender: &Contender, plan: &Plan, shape: Shape) -> Result<Answer, String> {
    let buffer = buffer_for(shape);
    let run = |server: &mut Server| {
        let mut load = Load::connect(&server.place, shape)?;
        load.run_batches(20)?;
        let strace = Strace::attach(server.pid())?;
        let messages = load.run_batches(if plan.quick { 50 } else { 300 })? as f64;
        let calls = strace.detach()?;
        let mut answer = Answer::new(server.detail.clone());
        answer.put("syscalls", calls.total() / messages);
        answer.notes.push(calls.per(messages));
        Ok(answer)
    };
    with_server(contender, plan, None, &["--buffer", &buffer], run).map(|(answer, _)| answer)
}

fn sleep_system_calls(contender: &Contender, plan: &Plan) -> Result<Answer, String> {
    if !measure::have("strace") {
        return Err("strace is not installed".into());
    }
    let path = std::env::temp_dir().join(format!("peers-strace-{}", std::process::id()));
    let path = path.to_str().ok_or("odd temporary directory")?;
    let columns = "time-percent,total-time,avg-time,calls,errors,name";
    let mut detail = String::new();
    let mut total = |count: u64| -> Result<SystemCalls, String> {
        let tool: &[&str] = &["strace", "-c", "-f", "-U", columns, "-o", path];
        let more = ["--count".to_owned(), count.to_string()];
        let answer =
            last_answer(&mut plan.child("sleep-count", contender, Some(tool), &more), Duration::from_secs(60))?;
        detail = answer.detail;
        let text = std::fs::read_to_string(path).map_err(|e| format!("strace's summary: {e}"))?;
        let _ = std::fs::remove_file(path);
        Ok(SystemCalls::parse(&text))
    };
    // Their difference is the sleeps alone.
    let (few, more) = (50, if plan.quick { 100 } else { 400 });
    let calls = total(few)?;
    let calls = total(few + more)?.minus(&calls);
    let mut answer = Answer::new(detail);
    answer.put("syscalls", calls.total() / more as f64);
    answer.notes.push(calls.per(more as f64));
    Ok(answer)
}

fn sleep_busy(contender: &Contender, plan: &Plan, shape: Shape) -> Result<Answer, String> {
    let buffer = buffer_for(shape);
    let run = |server: &mut Server| {
        let mut load = Load::connect(&server.place, shape)?;
        load.start()?;
        load.run_for(Duration::from_millis(200))?;
        server.stdin.write_all(b"go\n").map_err(|e| e.to_string())?;
        let (start, limit) = (Instant::now(), Duration::from_secs(30));
        let mut answer = None;
        let mut asked = start;
        let messages = load.run_until(|_| {
            // Looking at the pipe costs a system call: every 5 ms is enough.
            let now = Instant::now();
            if now - asked >= Duration::from_millis(5) {
                asked = now;
                answer = measure::read_line_within(&mut server.stdout, Duration::ZERO).ok();
            }
            answer.is_some() || now - start > limit
        })?;
        let elapsed = start.elapsed().as_secs_f64();
        let line = answer.ok_or("the sleeping task did not finish within 30 s")?;
        let mut answer = Answer::parse(&line).ok_or_else(|| format!("not an answer: {line}"))?;
        answer.put("messages_per_s", messages as f64 / elapsed);
        Ok(answer)
    };
    with_server(contender, plan, None, &["--buffer", &buffer, "--sleeper"], run).map(|(answer, _)| answer)
}

fn idle(contender: &Contender, plan: &Plan, connections: usize) -> Result<Answer, String> {
    let connections = if plan.quick { connections / 5 } else { connections };
    let run = |server: &mut Server| {
        let pid = server.pid();
        let memory = || measure::memory(pid).map_err(|e| e.to_string());
        // A first connection, so that what the server needs once is there.
        let warm_up = Load::connect(&server.place, Shape { connections: 10, message: 64, depth: 1 })?;
        let before = memory()?;
        // Every connection echoes one message and then says nothing more.
        let _load = Load::connect(&server.place, Shape { connections, message: 64, depth: 1 })?;
        std::thread::sleep(Duration::from_millis(300));
        let after = memory()?;
        let switches = || measure::voluntary_switches(pid).map_err(|e| e.to_string());
        let switches_before = switches()?;
        std::thread::sleep(Duration::from_secs(2));
        let wakeups = switches()? - switches_before;
        drop(warm_up);
        let each = |after: f64, before: f64| (after - before) * 1024.0 / connections as f64;
        let mut answer = Answer::new(server.detail.clone());
        answer.put("private_dirty", each(after.private_dirty_kb, before.private_dirty_kb));
        answer.put("pss", each(after.pss_kb, before.pss_kb));
        answer.put("rss", each(after.rss_kb, before.rss_kb));
        answer.put("base_kb", before.pss_kb);
        answer.put("wakeups", wakeups as f64);
        Ok(answer)
    };
    with_server(contender, plan, None, &["--idle", "--buffer", "4096"], run).map(|(answer, _)| answer)
}
