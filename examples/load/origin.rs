//! Where the load goes: a place, and what is asked for there. Connections are dealt out over the
//! origins; on each, its requests go round.

use std::rc::Rc;
use std::time::Duration;

use crate::echo::Echo;
use crate::exchange::{Exchange, Http};
use crate::http::request::{Request, Wire};
use crate::http2::Message;
use crate::stream::Connector;
use crate::target::Target;
use crate::tls::Tls;

#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) target: Target,
    /// None for an echo server.
    pub(crate) requests: Vec<Request>,
    pub(crate) tls: Option<Tls>,
    /// The requests as HTTP/2 has them, if it is to be spoken.
    pub(crate) messages: Option<Vec<Message>>,
}

/// An origin made ready on a loop.
pub(crate) struct Local {
    pub(crate) connector: Rc<Connector>,
    wires: Rc<[Wire]>,
    pub(crate) messages: Option<Rc<[Message]>>,
}

impl Origin {
    pub(crate) fn local(&self, patience: Duration, keeps_alive: bool) -> Local {
        Local {
            connector: Rc::new(Connector {
                target: self.target.clone(),
                tls: self.tls.clone(),
                is_http2: self.messages.is_some(),
                patience,
            }),
            messages: self.messages.as_ref().map(|all| all.iter().cloned().collect()),
            wires: self.requests.iter().map(|request| request.wire(keeps_alive)).collect(),
        }
    }
}

impl Local {
    /// For the connection with this number; those of one origin begin at different requests.
    pub(crate) fn exchange(&self, connection: usize, round: usize, size: usize) -> Exchange {
        if self.wires.is_empty() {
            Exchange::Echo(Echo::new(connection, size as u64))
        } else {
            Exchange::Http(Http::new(self.wires.clone(), round))
        }
    }
}
