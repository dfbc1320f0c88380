//! `select!`: the first of a few futures that is ready; the others are dropped.
//!
//! It is tokio's macro, without a procedural one. The arms are pinned in a scope that ends before a
//! handler runs, so that the handler may use again what they borrowed. A pattern is tried before
//! its value is moved, by a guard that notes the fit and always says no: so patterns may bind by
//! value, by `ref` and `mut`.

/// Waits for the first of several futures that is ready, drops the others, and runs its handler. It
/// is used inside an async function or block.
///
/// ```text
/// select! {
///     PATTERN = FUTURE => HANDLER,
///     PATTERN = FUTURE, if CONDITION => HANDLER,
///     else => HANDLER,
/// }
/// ```
///
/// * The futures are polled in this task, and may borrow from it. An arm may be a `&mut` to a
///   future: that one is not dropped.
/// * Each poll begins with an arm drawn at random, so that none starves another. With `biased;` in
///   front, the arms are always polled from first to last.
/// * A future whose condition is false is not even made.
/// * An output that its pattern does not fit switches its arm off, and the others are waited for.
/// * `else` runs when no arm is left.
/// * Handlers run when the futures are gone: they may use what those borrowed, and `.await`, `?`,
///   `break`, `return`.
///
/// Losers are dropped in the middle: use it with futures that are cancel safe, or with `&mut` to
/// futures that live outside.
///
/// # Panics
///
/// If no arm is left and there is no `else`.
///
/// # Examples
///
/// ```
/// use wheelhouse::select;
/// use wheelhouse::time::{Duration, sleep};
/// # wheelhouse::run(async {
/// let mut work = std::pin::pin!(async { 42 });
/// let first = select! {
///     biased;
///     answer = &mut work => Some(answer),
///     () = sleep(Duration::from_secs(1)) => None,
/// };
/// assert_eq!(first, Some(42));
/// # });
/// ```
#[macro_export]
macro_rules! select {
    // 1: the arms become groups `{(pattern) (future) (condition) (handler)}`.
    (@parse $mode:ident [$($arms:tt)*]) => {
        $crate::select!(@outs $mode [$($arms)*] [] ($crate::structure::arms::none_left()))
    };
    (@parse $mode:ident [$($arms:tt)*] else => $else:expr $(,)?) => {
        $crate::select!(@outs $mode [$($arms)*] [] ($else))
    };
    (@parse $mode:ident [$($arms:tt)*] $p:pat = $f:expr, if $c:expr => $h:block, $($rest:tt)*) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) ($c) ($h)}] $($rest)*)
    };
    (@parse $mode:ident [$($arms:tt)*] $p:pat = $f:expr => $h:block, $($rest:tt)*) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) (true) ($h)}] $($rest)*)
    };
    (@parse $mode:ident [$($arms:tt)*] $p:pat = $f:expr, if $c:expr => $h:block $($rest:tt)*) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) ($c) ($h)}] $($rest)*)
    };
    (@parse $mode:ident [$($arms:tt)*] $p:pat = $f:expr => $h:block $($rest:tt)*) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) (true) ($h)}] $($rest)*)
    };
    (
        @parse $mode:ident [$($arms:tt)*]
        $p:pat = $f:expr, if $c:expr => $h:expr $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) ($c) ($h)}] $($($rest)*)?)
    };
    (@parse $mode:ident [$($arms:tt)*] $p:pat = $f:expr => $h:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@parse $mode [$($arms)* {($p) ($f) (true) ($h)}] $($($rest)*)?)
    };

    // 2: a variable for each output, outside the scope of the futures; then the handlers.
    (
        @outs $mode:ident [{$p:tt $f:tt $c:tt $h:tt} $($rest:tt)*] [$($arms:tt)*] $else:tt
    ) => {{
        let mut out = ::std::option::Option::None;
        $crate::select!(@outs $mode [$($rest)*] [$($arms)* {out $p $f $c $h}] $else)
    }};
    (@outs $mode:ident [] [$({$out:ident ($p:pat) $f:tt $c:tt ($h:expr)})+] ($else:expr)) => {{
        $crate::select!(@pins $mode [$({$out ($p) $f $c})+] []);
        #[allow(unreachable_patterns, unreachable_code)]
        {
            $(
                if let ::std::option::Option::Some(ready) = $out {
                    match ready {
                        $p => $h,
                        _ => ::std::unreachable!("its pattern was tried before"),
                    }
                } else
            )+ {
                $else
            }
        }
    }};

    // 3: each future is made and pinned, in a block around the next one's.
    (
        @pins $mode:ident [{$out:ident $p:tt $f:tt $c:tt} $($rest:tt)*] [$($arms:tt)*]
    ) => {{
        let mut arm = ::std::pin::pin!(
            $crate::structure::arms::Arm::if_some($crate::select!(@if $c $f))
        );
        $crate::select!(@pins $mode [$($rest)*] [$($arms)* {$out arm $p}]);
    }};
    // Without a condition the future has moved for certain, and what it borrowed is free afterwards.
    (@if (true) ($f:expr)) => { ::std::option::Option::Some($f) };
    (@if ($c:expr) ($f:expr)) => {
        if $c { ::std::option::Option::Some($f) } else { ::std::option::Option::None }
    };

    // 4: they are polled.
    (@pins $mode:ident [] [$({$out:ident $arm:ident ($p:pat)})+]) => {{
        const COUNT: usize = <[()]>::len(&[$($crate::join!(@one $arm)),+]);
        ::std::future::poll_fn(|cx| {
            let first = $crate::select!(@first $mode COUNT);
            let mut must_wait = false;
            for is_wrapped in [false, true] {
                let mut place = 0;
                $(
                    if (place < first) == is_wrapped && $arm.is_waiting() {
                        match $arm.as_mut().poll_and_take(cx) {
                            ::std::option::Option::None => must_wait = true,
                            ::std::option::Option::Some(ready) => {
                                let mut fits = false;
                                #[allow(unreachable_patterns, unused_variables, unused_mut)]
                                match ready {
                                    $p if { fits = true; false } => ::std::unreachable!(),
                                    _ => {}
                                }
                                if fits {
                                    $out = ::std::option::Option::Some(ready);
                                    return ::std::task::Poll::Ready(());
                                }
                            }
                        }
                    }
                    place += 1;
                )+
                let _ = place;
            }
            if must_wait { ::std::task::Poll::Pending } else { ::std::task::Poll::Ready(()) }
        })
        .await
    }};
    (@first biased $count:expr) => { 0 };
    (@first fair $count:expr) => { $crate::structure::arms::start($count) };

    (biased; $($arms:tt)+) => { $crate::select!(@parse biased [] $($arms)+) };
    ($($arms:tt)+) => { $crate::select!(@parse fair [] $($arms)+) };
}
