//! Connections kept alive, by origin.
//!
//! The one that was used last is used next: it is the least likely to have been closed meanwhile,
//! and those that are not needed grow old and go. An HTTP/2 connection is never idle: it stays in
//! its place, and requests share it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use wheelhouse::call_later;
use wheelhouse::time::Instant;

use crate::http::connect::{Connector, NoBody, Sender};
use crate::http::failure::Failure;
use crate::web::address::Parts;

/// Many servers close after five seconds to a minute; before they do is better than after.
const IDLE_LIVES: Duration = Duration::from_secs(15);

pub(crate) struct Pool {
    connector: Connector,
    origins: Rc<RefCell<HashMap<String, Origin>>>,
    /// A sweep is under way.
    is_sweeping: Rc<Cell<bool>>,
}

#[derive(Default)]
struct Origin {
    /// The last one was used last.
    idle: Vec<(Instant, http1::SendRequest<NoBody>)>,
    shared: Option<http2::SendRequest<NoBody>>,
}

/// A connection to use.
pub(crate) struct Lease {
    pub(crate) sender: Sender,
    /// It has served before, so it may have been closed behind our back.
    pub(crate) is_reused: bool,
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Pool {
        Pool { connector, origins: Rc::default(), is_sweeping: Rc::default() }
    }

    /// A kept connection, or a new one.
    pub(crate) async fn get(&self, parts: &Parts<'_>) -> Result<Lease, Failure> {
        while let Some(sender) = self.kept(parts.origin) {
            match sender {
                Sender::One(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Ok(Lease { sender: Sender::One(sender), is_reused: true });
                    }
                }
                Sender::Two(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Ok(Lease { sender: Sender::Two(sender), is_reused: true });
                    }
                    self.forget_shared(parts.origin);
                }
            }
        }
        self.fresh(parts).await
    }

    /// A new connection, whatever is kept.
    pub(crate) async fn fresh(&self, parts: &Parts<'_>) -> Result<Lease, Failure> {
        // In a box: few requests wait for a connection, and TLS on the way would make them all large.
        let sender = Box::pin(self.connector.connect(parts)).await?;
        if let Sender::Two(sender) = &sender {
            let mut origins = self.origins.borrow_mut();
            origins.entry(parts.origin.to_owned()).or_default().shared = Some(sender.clone());
        }
        Ok(Lease { sender, is_reused: false })
    }

    /// Takes a connection back whose answer was read to its end.
    pub(crate) fn put(&self, origin: &str, sender: Sender) {
        let Sender::One(sender) = sender else { return };
        let mut origins = self.origins.borrow_mut();
        match origins.get_mut(origin) {
            Some(kept) => kept.idle.push((Instant::now(), sender)),
            None => {
                let kept = Origin { idle: vec![(Instant::now(), sender)], shared: None };
                origins.insert(origin.to_owned(), kept);
            }
        }
        drop(origins);
        if !self.is_sweeping.replace(true) {
            sweep_later(self.origins.clone(), self.is_sweeping.clone());
        }
    }

    fn kept(&self, origin: &str) -> Option<Sender> {
        let mut origins = self.origins.borrow_mut();
        let kept = origins.get_mut(origin)?;
        if let Some(shared) = &kept.shared {
            return Some(Sender::Two(shared.clone()));
        }
        while let Some((since, sender)) = kept.idle.pop() {
            if since.elapsed() < IDLE_LIVES && !sender.is_closed() {
                return Some(Sender::One(sender));
            }
        }
        None
    }

    fn forget_shared(&self, origin: &str) {
        if let Some(kept) = self.origins.borrow_mut().get_mut(origin) {
            kept.shared = None;
        }
    }
}

/// Closes what has been idle for too long, as long as there is something idle.
fn sweep_later(origins: Rc<RefCell<HashMap<String, Origin>>>, is_sweeping: Rc<Cell<bool>>) {
    let call = move || {
        let mut all = origins.borrow_mut();
        for kept in all.values_mut() {
            kept.idle.retain(|(since, sender)| since.elapsed() < IDLE_LIVES && !sender.is_closed());
        }
        let is_needed = all.values().any(|kept| !kept.idle.is_empty());
        drop(all);
        // The pool is gone when nobody else holds the table.
        if is_needed && Rc::strong_count(&origins) > 1 {
            sweep_later(origins, is_sweeping);
        } else {
            is_sweeping.set(false);
        }
    };
    drop(call_later(IDLE_LIVES / 2, call));
}
