//! `join!` and `try_join!`: a few futures at once, polled in the task of whoever awaits them.
//!
//! They are macros, since futures of different types cannot stand in a list. All arms that wait are
//! polled whenever the task is; for many, use `gather` or `scope`. Each poll begins with another
//! arm: what is always ready would else use up the poll's budget before the others come to theirs.

/// Awaits several futures at once and gives a tuple of their outputs. It is used inside an async
/// function or block.
///
/// The futures are polled in this task, so they may borrow from it, and end with it. They need not
/// be of one type. For many, or where each should be a task of its own, see
/// [`gather`](crate::gather).
///
/// Cancel safe if all arms are. A panic of an arm drops the others, and goes on here.
///
/// # Examples
///
/// ```
/// use wheelhouse::join;
/// use wheelhouse::time::{Duration, sleep};
/// # wheelhouse::run(async {
/// let text = String::from("two");
/// let (one, two) = join!(
///     async {
///         sleep(Duration::from_micros(10)).await;
///         1
///     },
///     async { text.as_str() },
/// );
/// assert_eq!((one, two), (1, "two"));
/// # });
/// ```
#[macro_export]
macro_rules! join {
    (@one $arm:ident) => { () };
    (@pin [$($arm:ident)*] $future:expr, $($rest:tt)*) => {{
        let mut arm = ::std::pin::pin!($crate::structure::arms::Arm::new($future));
        let outputs = $crate::join!(@pin [$($arm)* arm] $($rest)*);
        outputs
    }};
    (@pin [$($arm:ident)+]) => {{
        const COUNT: usize = <[()]>::len(&[$($crate::join!(@one $arm)),+]);
        let mut turn = 0;
        ::std::future::poll_fn(|cx| {
            let first = if turn < COUNT { turn } else { 0 };
            turn = first + 1;
            let mut are_ready = true;
            for is_wrapped in [false, true] {
                let mut place = 0;
                $(
                    if (place < first) == is_wrapped {
                        are_ready &= $arm.as_mut().poll_and_keep(cx);
                    }
                    place += 1;
                )+
                let _ = place;
            }
            if are_ready {
                ::std::task::Poll::Ready(($($arm.as_mut().output(),)+))
            } else {
                ::std::task::Poll::Pending
            }
        })
        .await
    }};
    () => { () };
    ($($future:expr),+ $(,)?) => { $crate::join!(@pin [] $($future,)+) };
}

/// As [`join!`](crate::join), for futures that give a `Result`: `Ok` with a tuple of the values, or
/// the first error. Then the other arms are dropped where they stand.
///
/// # Examples
///
/// ```
/// use wheelhouse::try_join;
/// # wheelhouse::run(async {
/// let both = try_join!(async { "1".parse::<u8>() }, async { "300".parse::<u8>() });
/// assert!(both.is_err());
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    (@pin [$($arm:ident)*] $future:expr, $($rest:tt)*) => {{
        let mut arm = ::std::pin::pin!($crate::structure::arms::Arm::new($future));
        let outputs = $crate::try_join!(@pin [$($arm)* arm] $($rest)*);
        outputs
    }};
    (@pin [$($arm:ident)+]) => {{
        const COUNT: usize = <[()]>::len(&[$($crate::join!(@one $arm)),+]);
        let mut turn = 0;
        ::std::future::poll_fn(|cx| {
            let first = if turn < COUNT { turn } else { 0 };
            turn = first + 1;
            let mut are_ready = true;
            for is_wrapped in [false, true] {
                let mut place = 0;
                $(
                    if (place < first) == is_wrapped {
                        match $arm.as_mut().poll_and_try(cx) {
                            ::std::result::Result::Ok(is_ready) => are_ready &= is_ready,
                            ::std::result::Result::Err(error) => {
                                return ::std::task::Poll::Ready(::std::result::Result::Err(error));
                            }
                        }
                    }
                    place += 1;
                )+
                let _ = place;
            }
            if are_ready {
                let values = ($($arm.as_mut().value(),)+);
                ::std::task::Poll::Ready(::std::result::Result::Ok(values))
            } else {
                ::std::task::Poll::Pending
            }
        })
        .await
    }};
    ($($future:expr),+ $(,)?) => { $crate::try_join!(@pin [] $($future,)+) };
}
