//! Who may import whom: DESIGN section 2 as data, and the check of it.
//!
//! A table begins with the ground. A file imports only what is listed before it, in its own layer
//! or an earlier one; so there is no cycle, and each file can be read knowing only what came
//! before. Tests at the foot of a file may import anything. The order of packages is the compiler's
//! business.

use std::collections::BTreeMap;

use crate::source::{PathUse, Source, paths_in};

pub(crate) struct Layer {
    /// What holds for every file in it.
    pub(crate) says: &'static str,
    pub(crate) files: &'static [&'static str],
}

pub(crate) const RUNTIME: &[Layer] = &[
    Layer {
        says: "Plain values and rules. They know no loop; a descriptor is a number to them.",
        files: &[
            "atomics.rs",
            "address.rs",
            "affinity.rs",
            "syscall.rs",
            "table.rs",
            "waiter.rs",
            "locals.rs",
            "selector/mod.rs",
            "time/wheel.rs",
            "time/clock.rs",
            "debug/metrics.rs",
        ],
    },
    Layer {
        says: "Parts. Each does one thing for one loop, and calls only the few it stands on.",
        files: &[
            "selector/mio.rs",
            "selector/polling.rs",
            "selector/script.rs",
            "selector/scripted.rs",
            "selector/kind.rs",
            "time/alarm.rs",
            "pace.rs",
            "spin.rs",
            "reactor.rs",
            "inbox.rs",
            "remote.rs",
            "task/queue.rs",
        ],
    },
    Layer {
        says: "Tasks and jobs: slots, wakers, how they end, who is told. They know no turn.",
        files: &[
            "task/waker.rs",
            "task/polled.rs",
            "task/cell.rs",
            "task/table.rs",
            "task/id.rs",
            "task/error.rs",
            "debug/report.rs",
            "reply.rs",
            "debug/hooks.rs",
            "debug/places.rs",
            "blocking.rs",
        ],
    },
    Layer {
        says: "The loop: one of each part, the turn, its end, and which loop a thread is on.",
        files: &["event_loop.rs", "run.rs", "shutdown.rs", "current.rs"],
    },
    Layer {
        says: "What users hold: a key and a way to the loop.",
        files: &[
            "loop_local.rs",
            "task/yield_now.rs",
            "time/instant.rs",
            "task/join.rs",
            "structure/task_local.rs",
            "task/spawn.rs",
            "task/call.rs",
            "time/sleep.rs",
            "time/interval.rs",
            "time/timeout.rs",
            "time/virtual_time.rs",
            "source.rs",
            "stream.rs",
            "datagram.rs",
            "known.rs",
            "io.rs",
            "signal.rs",
            "debug/tree.rs",
            "debug/inspect.rs",
            "handle.rs",
        ],
    },
    Layer {
        says: "Structure: several of what users hold put together. No way to the loop of its own.",
        files: &[
            "structure/waiting.rs",
            "structure/ready.rs",
            "structure/arms.rs",
            "structure/join.rs",
            "structure/select.rs",
            "structure/race.rs",
            "structure/children.rs",
            "structure/gather.rs",
            "structure/join_set.rs",
            "structure/wait.rs",
            "structure/as_completed.rs",
            "structure/shield.rs",
            "structure/cancel.rs",
            "structure/completion.rs",
            "structure/scope.rs",
            "structure/group_error.rs",
            "structure/group_state.rs",
            "structure/task_group.rs",
        ],
    },
    Layer {
        says: "Whole loops: what makes them, owns them, and runs several.",
        files: &["owner.rs", "builder.rs", "testing.rs", "group.rs"],
    },
    Layer {
        says: DOORS,
        files: &["debug/mod.rs", "structure/mod.rs", "task/mod.rs", "time/mod.rs", "lib.rs"],
    },
    Layer {
        says: TESTS,
        files: &[
            "time/clock_tests.rs",
            "time/wheel_tests.rs",
            "selector/rig.rs",
            "selector/contract.rs",
            "loom_tests.rs",
        ],
    },
];

pub(crate) const NET: &[Layer] = &[
    Layer {
        says: "Rules: addresses, what errors mean, how to connect. They know no type of ours.",
        files: &[
            "platform.rs",
            "dns.rs",
            "scratch.rs",
            "addr.rs",
            "accept.rs",
            "race.rs",
            "connect_error.rs",
            "connect_options.rs",
            "connect.rs",
            "attempt.rs",
            "spare.rs",
        ],
    },
    Layer {
        says: "What sockets of every kind do, written once. They know no address family.",
        files: &[
            "transport.rs",
            "stream.rs",
            "split.rs",
            "listener.rs",
            "datagram.rs",
            "readiness.rs",
        ],
    },
    Layer {
        says: "Sockets. A listener knows the stream it accepts, never the other way round.",
        files: &[
            "tcp/stream.rs",
            "tcp/options.rs",
            "tcp/listener.rs",
            "tcp/socket.rs",
            "udp.rs",
            "unix/address.rs",
            "unix/ucred.rs",
            "unix/stream.rs",
            "unix/listener.rs",
            "unix/datagram.rs",
            "unix/socket.rs",
            "unix/pipe/end.rs",
            "unix/pipe/receiver.rs",
            "unix/pipe/sender.rs",
            "unix/pipe/both.rs",
            "unix/pipe/pair.rs",
            "unix/pipe/open.rs",
            "linux.rs",
        ],
    },
    Layer {
        says: "Streams over anything that reads and writes. They know no socket.",
        files: &[
            "streams/errors.rs",
            "streams/reader.rs",
            "streams/pieces.rs",
            "streams/writer.rs",
            "streams/pipe.rs",
            "streams/copy.rs",
            "streams/relay.rs",
        ],
    },
    Layer { says: "Files into streams.", files: &["send_file.rs"] },
    Layer {
        says: "Servers: one server, all its loops.",
        files: &[
            "server/connection.rs",
            "server/reports.rs",
            "server/room.rs",
            "server/control.rs",
            "server/reserve.rs",
            "server/seat.rs",
            "server/accepting.rs",
            "server/serving.rs",
            "server/builder.rs",
        ],
    },
    Layer {
        says: "The traits of others, one file each.",
        files: &["compat/futures_io.rs", "compat/tokio.rs", "compat/hyper.rs"],
    },
    Layer {
        says: DOORS,
        files: &[
            "streams/mod.rs",
            "server/mod.rs",
            "compat/mod.rs",
            "tcp/mod.rs",
            "unix/mod.rs",
            "unix/pipe/mod.rs",
            "lib.rs",
        ],
    },
    Layer { says: TESTS, files: &["accept_tests.rs", "dns_tests.rs", "race_tests.rs"] },
];

pub(crate) const TLS: &[Layer] = &[
    Layer {
        says: "What a connection is made from, and its moves. The one knows nothing of the other.",
        files: &["config.rs", "system.rs", "session.rs"],
    },
    Layer { says: "What users hold.", files: &["stream.rs", "handshake.rs"] },
    Layer { says: DOORS, files: &["lib.rs"] },
];

/// Every package with a table. A folder in another's is listed before that.
pub(crate) const PACKAGES: &[(&str, &[Layer])] =
    &[("runtime", RUNTIME), ("net/tls", TLS), ("net", NET)];

/// The package of a file, and its path below that. The tests of a package are in none.
pub(crate) fn package_of(path: &str) -> Option<(&'static str, &str)> {
    let below = |(package, _): &(&'static str, &[Layer])| {
        let file = path.strip_prefix(package)?.strip_prefix('/')?;
        Some((*package, file))
    };
    let found = PACKAGES.iter().find_map(below)?;
    (!found.1.starts_with("tests/")).then_some(found)
}

pub(crate) const DOORS: &str = "Doors: they name their children and pass them on; no logic.";
pub(crate) const TESTS: &str = "Tests in files of their own. Nothing imports them.";

/// Imports that go up today, each with what would turn it round. This list only gets shorter.
pub(crate) const UPWARD: &[(&str, &str, &str)] = &[];

/// One import, as the table sees it.
pub(crate) struct Import {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// The files of a package by path below it, and what its doors pass on.
pub(crate) struct Package<'a> {
    pub(crate) table: &'static [Layer],
    pub(crate) files: BTreeMap<&'a str, &'a Source>,
    /// Door and name -> the path that the name stands for.
    passed_on: BTreeMap<(String, String), Vec<String>>,
}

impl<'a> Package<'a> {
    pub(crate) fn new(
        name: &'static str,
        table: &'static [Layer],
        sources: &'a [Source],
    ) -> Package<'a> {
        let below = |source: &'a Source| {
            let (package, file) = package_of(&source.path)?;
            (package == name).then_some((file, source))
        };
        let files: BTreeMap<_, _> = sources.iter().filter_map(below).collect();
        let mut package = Package { table, files, passed_on: BTreeMap::new() };
        for (file, source) in package.files.clone() {
            for path in paths_in(source).into_iter().filter(|path| path.is_passed_on) {
                let names = package.absolute(file, &path);
                let key = (file.to_owned(), names.last().cloned().unwrap_or_default());
                package.passed_on.insert(key, names);
            }
        }
        package
    }

    /// Where a file stands in the table: the number of the layer, and the place in all.
    pub(crate) fn place(&self, file: &str) -> Option<(usize, usize)> {
        let in_order = self.table.iter().enumerate();
        let all = in_order.flat_map(|(layer, row)| row.files.iter().map(move |file| (layer, file)));
        let mut all = (0..).zip(all);
        all.find(|(_, (_, listed))| **listed == file).map(|(place, (layer, _))| (layer, place))
    }

    /// What a file imports from its own package.
    pub(crate) fn imports(&self, file: &str, source: &Source) -> Vec<Import> {
        let paths = paths_in(source).into_iter();
        let imports = paths.map(|path| Import {
            line: path.line,
            target: self.resolve(&self.absolute(file, &path), 8),
        });
        imports.filter(|import| import.target != file).collect()
    }

    /// From the package's root, without `crate`, `super` and `self`.
    fn absolute(&self, file: &str, path: &PathUse) -> Vec<String> {
        let mut names = path.names.iter().filter(|name| *name != "self").peekable();
        let mut module: Vec<String> = if path.names[0] == "crate" { Vec::new() } else { of(file) };
        let mut depth = path.depth;
        while let Some(name) = names.next_if(|name| *name == "crate" || *name == "super") {
            if name == "super" && depth > 0 {
                depth -= 1;
            } else if name == "super" {
                module.pop();
            }
        }
        module.extend(names.cloned());
        module
    }

    /// The file in which a name was made: through folders, then through what doors pass on.
    fn resolve(&self, names: &[String], depth: usize) -> String {
        let mut module = Vec::new();
        let mut file = "lib.rs".to_owned();
        for name in names {
            module.push(name.as_str());
            let stem = module.join("/");
            match [format!("{stem}.rs"), format!("{stem}/mod.rs")]
                .into_iter()
                .find(|candidate| self.files.contains_key(candidate.as_str()))
            {
                Some(found) => file = found,
                None => {
                    let passed_on = self.passed_on.get(&(file.clone(), name.clone()));
                    return match passed_on {
                        Some(names) if depth > 0 => self.resolve(names, depth - 1),
                        _ => file,
                    };
                }
            }
        }
        file
    }
}

/// The module of a file, as names.
fn of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}
