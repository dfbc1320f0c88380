//! What the connections of one loop share: the one buffer, the characters of the generator, the
//! counters, how far their alarms have come. Accepting, limits and the end are the runtime's `Server`'s.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use wheelhouse::{CancelToken, loop_local};

use crate::args::Settings;
use crate::idle::Rung;
use crate::service::Characters;
use crate::stats::{End, Tallies, Tally};

/// Large enough for a batch of messages a receive; one a loop, not one a connection.
const BUFFER: usize = 64 * 1024;

/// What all loops share.
pub(crate) struct Site {
    pub(crate) settings: Settings,
    pub(crate) tallies: Tallies,
    /// Datagrams are answered until it is cancelled. Connections hear of the end from their server.
    pub(crate) stop: CancelToken,
}

pub(crate) struct Worker {
    pub(crate) buffer: RefCell<Vec<u8>>,
    pub(crate) characters: Characters,
    pub(crate) tally: Arc<Tally>,
    pub(crate) rung: Rung,
    pub(crate) site: Arc<Site>,
}

/// The loop's own.
#[derive(Default)]
struct Here(OnceCell<Rc<Worker>>);

impl Worker {
    /// That of the loop of this thread; made when it is first asked for.
    pub(crate) fn here(site: &Arc<Site>) -> Rc<Worker> {
        let Here(worker) = &*loop_local();
        let make = || {
            Rc::new(Worker {
                buffer: RefCell::new(vec![0; BUFFER]),
                characters: Characters::new(),
                tally: site.tallies.add(),
                rung: Rung::none(),
                site: site.clone(),
            })
        };
        worker.get_or_init(make).clone()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.site.settings
    }
}

/// A connection's entry in the counters.
pub(crate) struct Member {
    pub(crate) worker: Rc<Worker>,
    /// Ended without a word (a panic, the server's last resort), it was cut.
    pub(crate) end: Option<End>,
}

impl Member {
    pub(crate) fn new(worker: Rc<Worker>) -> Member {
        worker.tally.opened();
        Member { worker, end: None }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.worker.tally.closed(self.end.unwrap_or(End::Cut));
    }
}
