//! The limit of open files. Those of connections are the runtime's server's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and gives what holds now; `None` is no
/// limit. A connection is a file, and the usual soft limit, 1,024, dates from `select(2)`.
pub(crate) fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_can_be_raised_and_stay_raised() {
        let raised = raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, raised);
        assert_eq!(raise_open_files(), raised);
    }
}
