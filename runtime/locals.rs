//! What belongs to a loop without the loop knowing it: values by their type.
//!
//! It is a list, not a map: there are as many as packages keep something here, which is few. What
//! stands in it is other people's: it is made and dropped with no borrow held.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Default)]
pub(crate) struct Locals {
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    values: Vec<(TypeId, Rc<dyn Any>)>,
    /// The loop has ended: what is asked for is made, and not kept.
    is_closed: bool,
}

impl Locals {
    pub(crate) fn get_or_default<T: Default + 'static>(&self) -> Rc<T> {
        if let Some(found) = self.find() {
            return found;
        }
        let made = Rc::new(T::default());
        // Making it may have asked for it.
        if let Some(found) = self.find() {
            return found;
        }
        let mut kept = self.kept.borrow_mut();
        if !kept.is_closed {
            kept.values.push((TypeId::of::<T>(), made.clone()));
        }
        made
    }

    fn find<T: 'static>(&self) -> Option<Rc<T>> {
        let kept = self.kept.borrow();
        let (_, found) = kept.values.iter().find(|(of, _)| *of == TypeId::of::<T>())?;
        found.clone().downcast().ok()
    }

    /// All of them, the last first, to be dropped by the caller. None is kept any more.
    pub(crate) fn close(&self) -> impl Iterator<Item = Rc<dyn Any>> + use<> {
        let mut kept = self.kept.borrow_mut();
        kept.is_closed = true;
        std::mem::take(&mut kept.values).into_iter().rev().map(|(_, value)| value)
    }
}
