//! `task_local!`: values that hold for a task and what it spawns (`contextvars`).
//!
//! While a task is polled, its values stand in a variable of the thread; between two polls they
//! stand in the task. A child task takes along what stands there when it is spawned, which costs
//! nothing where nothing stands. It knows no loop: under a foreign executor values hold inside
//! `scope`, and are not inherited.
//!
//! What is set around a whole `run`, by [`LocalKey::sync_scope`], holds for every task of that
//! loop.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Declares values that hold for a task: statics of the type
/// [`LocalKey`](crate::structure::LocalKey).
///
/// # Examples
///
/// ```
/// use wheelhouse::{spawn, task_local};
///
/// task_local! {
///     /// Which request this is about.
///     pub static REQUEST: u64;
/// }
///
/// # wheelhouse::run(async {
/// REQUEST
///     .scope(7, async {
///         assert_eq!(REQUEST.get(), 7);
///         let child = spawn(async { REQUEST.get() });
///         assert_eq!(child.await.unwrap(), 7, "children inherit it");
///     })
///     .await;
/// assert!(REQUEST.try_with(|_| ()).is_err());
/// # });
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $visible:vis static $name:ident: $type:ty);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visible static $name: $crate::structure::LocalKey<$type> =
                $crate::structure::LocalKey::new(::std::stringify!($name));
        )*
    };
}

/// A value that holds for a task: declared with [`task_local!`](crate::task_local).
pub struct LocalKey<T: 'static> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

/// The values that hold, by the addresses of their keys. There are as many as statics were
/// declared: few.
#[derive(Clone)]
struct Values(Vec<(usize, Value)>);

type Value = Arc<dyn Any>;

thread_local! {
    static HERE: RefCell<Option<Box<Values>>> = const { RefCell::new(None) };

    /// Whether any stand there. Every spawn asks: without a destructor it is a plain load.
    static ARE_HERE: Cell<bool> = const { Cell::new(false) };
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> LocalKey<T> {
        LocalKey { name, value: PhantomData }
    }

    /// Runs `future` with this value, which holds for it and for the tasks that it spawns.
    ///
    /// Cancel safe where `future` is; it sees the value also while it is dropped.
    pub fn scope<F: IntoFuture>(
        &'static self,
        value: T,
        future: F,
    ) -> TaskLocalFuture<T, F::IntoFuture> {
        let future = Some(future.into_future());
        TaskLocalFuture { key: self, value: Arc::new(value), future }
    }

    /// Calls `call` with this value.
    pub fn sync_scope<R>(&'static self, value: T, call: impl FnOnce() -> R) -> R {
        let _set = set(self.address(), Arc::new(value));
        call()
    }

    /// Calls `call` with the value that holds here.
    ///
    /// # Panics
    ///
    /// If none does.
    #[track_caller]
    pub fn with<R>(&'static self, call: impl FnOnce(&T) -> R) -> R {
        let value = self.find();
        match value.as_ref().and_then(|value| value.downcast_ref()) {
            Some(value) => call(value),
            None => self.is_not_set(),
        }
    }

    /// Calls `call` with the value that holds here.
    ///
    /// # Errors
    ///
    /// [`NotSet`] if none does.
    pub fn try_with<R>(&'static self, call: impl FnOnce(&T) -> R) -> Result<R, NotSet> {
        let value = self.find();
        match value.as_ref().and_then(|value| value.downcast_ref()) {
            Some(value) => Ok(call(value)),
            None => Err(NotSet { name: self.name }),
        }
    }

    /// A clone of the value that holds here.
    ///
    /// # Panics
    ///
    /// If none does.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// A clone of the value that holds here.
    ///
    /// # Errors
    ///
    /// [`NotSet`] if none does.
    pub fn try_get(&'static self) -> Result<T, NotSet>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// Tells keys apart: a static that takes room has an address of its own.
    fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The value is cloned out, so that nothing is borrowed while it is looked at.
    fn find(&'static self) -> Option<Value> {
        let found = HERE.try_with(|here| {
            let here = here.borrow();
            let Values(values) = &**here.as_ref()?;
            let (_, value) = values.iter().find(|(address, _)| *address == self.address())?;
            Some(value.clone())
        });
        found.unwrap_or(None)
    }

    #[cold]
    #[track_caller]
    fn is_not_set(&self) -> ! {
        panic!(
            "the task-local `{}` has no value here: it expects to be used inside \
             `{0}.scope(value, future)`, or in a task that was spawned inside. Set it there, or \
             use `try_with`.",
            self.name
        )
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalKey").field(&self.name).finish()
    }
}

/// Takes a value back when dropped.
struct Set {
    address: usize,
    before: Option<Value>,
}

fn set(address: usize, value: Value) -> Set {
    let before = exchange(address, Some(value));
    Set { address, before }
}

impl Drop for Set {
    fn drop(&mut self) {
        // What is dropped is foreign code: outside the borrow.
        drop(exchange(self.address, self.before.take()));
    }
}

/// Puts a value in its place, or takes it away; gives the one that stood there.
fn exchange(address: usize, value: Option<Value>) -> Option<Value> {
    let before = HERE.try_with(|here| {
        let mut here = here.borrow_mut();
        let Values(values) = &mut **here.get_or_insert_with(|| Box::new(Values(Vec::new())));
        let place = values.iter().position(|(kept, _)| *kept == address);
        let before = match (place, value) {
            (Some(place), Some(value)) => Some(std::mem::replace(&mut values[place].1, value)),
            (Some(place), None) => Some(values.swap_remove(place).1),
            (None, Some(value)) => {
                values.push((address, value));
                None
            }
            (None, None) => None,
        };
        // Nothing is told from an empty list at a glance.
        if values.is_empty() {
            *here = None;
        }
        ARE_HERE.set(here.is_some());
        before
    });
    before.unwrap_or(None)
}

pin_project! {
    /// The future of [`LocalKey::scope`]. It is `Send` where the value is `Send` and `Sync`, since
    /// children share it.
    #[must_use = "futures do nothing unless awaited"]
    pub struct TaskLocalFuture<T: 'static, F> {
        key: &'static LocalKey<T>,
        value: Arc<T>,
        // `None` when it is dropped, which is done with the value set.
        #[pin]
        future: Option<F>,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _set = set(this.key.address(), this.value.clone());
            this.future.set(None);
        }
    }
}

impl<T, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _set = set(this.key.address(), this.value.clone());
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("a task-local's `scope` was polled after it had given its output")
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<T, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskLocalFuture").field(&self.key.name).finish_non_exhaustive()
    }
}

/// The future of a task that was spawned where values hold. It is boxed, so that what is compiled
/// for each future is compiled once, and spawning costs nothing more where no values hold.
pub(crate) struct Inheriting<T> {
    values: Option<Box<Values>>,
    /// `None` when it is dropped, which is done with the values set.
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
}

/// Whether values hold here, for a child task to inherit.
#[inline]
pub(crate) fn are_here() -> bool {
    ARE_HERE.get()
}

impl<T> Inheriting<T> {
    /// Takes along what holds here.
    pub(crate) fn new(future: Pin<Box<dyn Future<Output = T>>>) -> Inheriting<T> {
        let values = HERE.try_with(|here| here.borrow().clone()).unwrap_or(None);
        Inheriting { values, future: Some(future) }
    }
}

impl<T> Future for Inheriting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Inheriting { values, future } = &mut *self;
        let Some(future) = future else { unreachable!("it is there until the task is dropped") };
        let _entered = Entered::new(values);
        future.as_mut().poll(cx)
    }
}

impl<T> Drop for Inheriting<T> {
    fn drop(&mut self) {
        let _entered = Entered::new(&mut self.values);
        self.future = None;
    }
}

/// A task's values stand in the thread's variable; they go back when this is dropped.
struct Entered<'a> {
    values: &'a mut Option<Box<Values>>,
}

impl Entered<'_> {
    fn new(values: &mut Option<Box<Values>>) -> Entered<'_> {
        exchange_all(values);
        Entered { values }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        exchange_all(self.values);
    }
}

fn exchange_all(values: &mut Option<Box<Values>>) {
    // While the thread's own variables are being destroyed there are none here.
    let _ = HERE.try_with(|here| {
        let mut here = here.borrow_mut();
        std::mem::swap(&mut *here, values);
        ARE_HERE.set(here.is_some());
    });
}

/// No value holds here for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSet {
    name: &'static str,
}

impl fmt::Display for NotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task-local `{}` has no value here", self.name)
    }
}

impl std::error::Error for NotSet {}
