//! What a scenario is made of: the columns of its table, and the plan of a run, which starts the children.

use crate::contenders::Contender;
use std::process::Command;

/// One column of a table.
pub struct Metric {
    pub key: &'static str,
    pub title: &'static str,
    pub compare: Compare,
}

/// What stands beside a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Its ratio to raw and to tokio.
    Ratio,
    /// What it is above raw, and above tokio.
    Difference,
    Nothing,
}

pub const fn ratio(key: &'static str, title: &'static str) -> Metric {
    Metric { key, title, compare: Compare::Ratio }
}
pub const fn plain(key: &'static str, title: &'static str) -> Metric {
    Metric { key, title, compare: Compare::Nothing }
}
pub const fn above(key: &'static str, title: &'static str) -> Metric {
    Metric { key, title, compare: Compare::Difference }
}

/// What holds for the whole run.
pub struct Plan {
    pub quick: bool,
    /// As found before anything was pinned.
    pub processors: usize,
    /// The processor of the measured process, and that of everything else.
    pub cpu: Option<usize>,
    pub other_cpu: Option<usize>,
}

impl Plan {
    /// This program again, as a child, perhaps under a tool.
    pub fn child(&self, part: &str, contender: &Contender, tool: Option<&[&str]>, more: &[String]) -> Command {
        let exe = std::env::current_exe().expect("own path");
        let mut command = match tool {
            None => Command::new(exe),
            Some(tool) => {
                let mut command = Command::new(tool[0]);
                command.args(&tool[1..]).arg(exe);
                command
            }
        };
        command.args(["__child", part, contender.name]).args(more);
        if self.quick {
            command.arg("--quick");
        }
        if let (Some(cpu), Some(other)) = (self.cpu, self.other_cpu) {
            command.args(["--cpu".into(), cpu.to_string(), "--other-cpu".into(), other.to_string()]);
        }
        command
    }
}
