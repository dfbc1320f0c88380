//! Values that belong to a loop: one each, made once, gone with the loop.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use support::{panic_of, run_checked};
use wheelhouse::{EventLoop, loop_local, spawn};

#[derive(Default)]
struct Count(Cell<u32>);

impl Count {
    fn next() -> u32 {
        let Count(count) = &*loop_local();
        count.set(count.get() + 1);
        count.get()
    }
}

#[test]
fn all_tasks_of_a_loop_share_one_and_two_loops_none() {
    for _ in 0..2 {
        run_checked(async {
            assert_eq!(Count::next(), 1);
            assert_eq!(spawn(async { Count::next() }).await.unwrap(), 2);
        });
    }
    let (one, other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    let in_turn: Vec<_> =
        [&one, &other, &one, &other].map(|each| each.block_on(async { Count::next() })).into();
    assert_eq!(in_turn, [1, 1, 2, 2]);
}

#[test]
fn values_of_different_types_are_different_values() {
    run_checked(async {
        let text = loop_local::<RefCell<String>>();
        text.borrow_mut().push('x');
        assert!(loop_local::<RefCell<Vec<u8>>>().borrow().is_empty());
        assert_eq!(*loop_local::<RefCell<String>>().borrow(), "x");
        assert!(Rc::ptr_eq(&text, &loop_local()));
    });
}

/// Made by one that asks for itself: the first to be kept stays.
#[test]
fn one_that_asks_for_itself_while_it_is_made_is_still_one() {
    thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });
    struct Nested(u32);
    impl Default for Nested {
        fn default() -> Nested {
            let depth = DEPTH.replace(DEPTH.get() + 1);
            if depth < 3 {
                loop_local::<Nested>();
            }
            Nested(depth)
        }
    }
    run_checked(async {
        assert_eq!(loop_local::<Nested>().0, 3);
        assert_eq!(loop_local::<Nested>().0, 3);
    });
}

/// Last made, first dropped; with the tasks gone, and the loop still there.
#[test]
fn they_are_dropped_with_the_loop_and_a_panic_in_one_spares_the_others() {
    thread_local!(static GONE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) });
    let note = |what| GONE.with_borrow_mut(|gone| gone.push(what));
    macro_rules! noting {
        ($name:ident, $drop:expr) => {
            #[derive(Default)]
            struct $name;
            impl Drop for $name {
                fn drop(&mut self) {
                    GONE.with_borrow_mut(|gone| gone.push(stringify!($name)));
                    $drop;
                }
            }
        };
    }
    noting!(First, assert!(spawn(async {}).is_finished(), "the loop takes no task any more"));
    noting!(Second, panic!("on purpose"));
    noting!(Third, loop_local::<First>());

    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        loop_local::<First>();
        loop_local::<Second>();
        loop_local::<Third>();
    });
    {
        let _here = event_loop.enter();
        drop(spawn(async move {
            let _guard = support::OnDrop::new(move || note("task"));
            std::future::pending::<()>().await;
        }));
    }
    support::turn_until_idle(&event_loop);
    drop(event_loop);
    // `First` twice: what `Third` asked for, while it was there, and then the kept one.
    assert_eq!(GONE.take(), ["task", "Third", "First", "Second", "First"]);
    assert!(panic_of(loop_local::<First>).starts_with("no event loop is running"));
}
